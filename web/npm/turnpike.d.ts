// The types of the turnpike SDK. `make types` makes this file of the SDK's sources.

/**
 * Has events, each with a detail that its listeners get as their argument.
 *
 * @template {Record<string, any>} Events names and the type of each one's detail
 */
declare class Emitter<Events extends Record<string, any>> {
    /**
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {(detail: Events[Name]) => void} listener if it throws, the error is reported and everything else goes on
     * @param {{ signal?: AbortSignal | undefined }} [options] `signal` removes the listener when it aborts
     * @returns {Unsubscribe} removes the listener
     */
    on<Name extends keyof Events & string>(name: Name, listener: (detail: Events[Name]) => void, { signal }?: {
        signal?: AbortSignal | undefined;
    }): Unsubscribe;
    /**
     * The detail of the next such event.
     *
     * @template {keyof Events & string} Name
     * @param {Name} name
     * @param {{ signal?: AbortSignal | undefined }} [options] `signal` gives up: the promise rejects with its reason
     * @returns {Promise<Events[Name]>}
     */
    once<Name extends keyof Events & string>(name: Name, { signal }?: {
        signal?: AbortSignal | undefined;
    }): Promise<Events[Name]>;
    #private;
}
type Unsubscribe = () => void;

/**
 * @param {unknown} error
 * @returns {ErrorCode | ''} the code of a TurnpikeError, else ''
 */
declare function codeOf(error: unknown): ErrorCode | "";
/** @typedef {keyof typeof CODES} ErrorCode docs/sdk.md says what each of them means */
/**
 * @typedef {object} ErrorDetails
 * @property {string | undefined} [field]
 * @property {number | undefined} [retryAfter]
 * @property {boolean | undefined} [away]
 * @property {'sessions' | 'rooms' | undefined} [limit]
 * @property {string | undefined} [hint]
 * @property {unknown} [cause]
 */
/** The one class of errors that the SDK throws, but for a TypeError where an app passes what cannot be. */
declare class TurnpikeError extends Error {
    /**
     * @param {string} code
     * @param {string} [message]
     * @param {ErrorDetails} [details]
     */
    constructor(code: string, message?: string, { field, retryAfter, away, limit, hint, cause }?: ErrorDetails);
    /** @type {ErrorCode} stable, so that programs can branch on it; a later server may know others */
    code: ErrorCode;
    /** Whether the same may succeed later. */
    retryable: boolean;
    /** What to do about it, for the developer; '' if there is nothing to say. */
    hint: string;
    /** The field at fault, with `bad-message` and `bad-request`. */
    field: string | undefined;
    /** Seconds to wait, with `rate-limited`. */
    retryAfter: number | undefined;
    /** With `full` and `name-taken`: it is because of somebody who has lost the connection, and may be gone soon. */
    away: boolean | undefined;
    /** With `forbidden`: what there are too many of. */
    limit: "sessions" | "rooms" | undefined;
}
/**
 * docs/sdk.md says what each of them means
 */
type ErrorCode = keyof typeof CODES;
type ErrorDetails = {
    field?: string | undefined;
    retryAfter?: number | undefined;
    away?: boolean | undefined;
    limit?: "sessions" | "rooms" | undefined;
    hint?: string | undefined;
    cause?: unknown;
};
/**
 * Every code, with whether waiting may heal the error, and what to do about it. docs/sdk.md has the same table, with the
 * meaning of each.
 *
 * @satisfies {Record<string, [retryable: boolean, hint: string]>}
 */
declare const CODES: {
    unauthorized: [false, string];
    'name-taken': [false, string];
    'bad-message': [false, string];
    forbidden: [false, string];
    'not-existing': [false, string];
    full: [false, string];
    locked: [false, string];
    kicked: [false, string];
    'not-host': [false, string];
    'not-in-room': [false, string];
    'no-such-user': [false, string];
    busy: [false, string];
    'no-such-call': [false, string];
    'no-such-session': [false, string];
    'rate-limited': [true, string];
    slow: [true, string];
    internal: [true, string];
    'invite-required': [false, string];
    'invite-used': [false, string];
    'invite-revoked': [false, string];
    expired: [false, string];
    'bad-request': [false, string];
    offline: [true, string];
    timeout: [true, string];
    ticket: [true, string];
    'bad-url': [false, string];
    unsupported: [false, string];
    'too-long': [false, string];
    ended: [false, string];
    refused: [false, string];
    closed: [false, string];
    declined: [false, string];
    cancelled: [false, string];
    'answered-elsewhere': [false, string];
    gone: [false, string];
    hangup: [false, string];
    leave: [false, string];
    returned: [false, string];
    revoked: [false, string];
    replaced: [false, string];
};

/**
 * The messages of protocol `turnpike.v1` as types; signal/PROTOCOL.md says what they mean. Both sides ignore unknown
 * fields, and the client ignores unknown types.
 */
type User = {
    user: string;
    name: string;
};
/**
 * A client may add these to any message. `id` marks a request that the server must carry out once. `received` says how
 * far the client has read the server's messages.
 */
type PeerInfo = {
    session: string;
    user: string;
    name: string;
    away?: boolean;
    media?: false | object;
};
type Description = {
    type: RTCSdpType;
    sdp: string;
    id?: string | undefined;
    to?: string | undefined;
};
type Negotiated = ({
    description: Description;
} | {
    candidates: (RTCIceCandidateInit | null)[];
});
type Resume = {
    session: string;
    token: string;
    received: number;
    fresh?: boolean | undefined;
};
type JoinMessage = {
    type: "join";
    room?: string | undefined;
    create?: boolean | undefined;
    size?: number | undefined;
    waiting?: boolean | undefined;
    media?: boolean | undefined;
};
type ClientMessage = ({
    type: "hello";
    ticket?: string | undefined;
    name?: string | undefined;
    resume?: Resume | undefined;
} | JoinMessage | {
    type: "leave";
    room: string;
} | ({
    type: "signal";
    room: string;
    to: string;
} & Negotiated) | {
    type: "online";
    after?: User;
} | {
    type: "refresh";
    ticket: string;
} | {
    type: "rename";
    name: string;
} | {
    type: "say";
    room: string;
    to?: string[] | undefined;
    topic?: string | undefined;
    data: unknown;
} | {
    type: "call";
    to: string;
    data?: unknown;
} | {
    type: "accept" | "cancel" | "hangup";
    call: string;
} | {
    type: "decline";
    call: string;
    reason?: string | undefined;
} | {
    type: "lock" | "unlock";
    room: string;
} | {
    type: "kick" | "admit" | "refuse";
    room: string;
    session: string;
} | {
    type: "ack";
    received: number;
} | {
    type: "ping";
} | {
    type: "bye";
});
type Welcome = {
    type: "welcome";
    ref?: string;
    after?: number;
    session: string;
    user: string;
    name: string;
    role: string;
    resume?: string;
    resumeWindow?: number;
    epoch?: string;
    resumed?: "replayed" | "restored";
    handled?: string;
    rooms?: RoomState[];
    iceServers: RTCIceServer[];
    iceExpires: string;
    online?: User[];
    onlineMore?: boolean;
    limits?: Limits;
    expiresIn?: number;
};
/**
 * What a session may do. A rate allows `burst` at once, and `perMinute` after that.
 */
type Refreshed = {
    type: "refreshed";
    ref?: string;
    name: string;
    role: string;
    expiresIn?: number;
    online?: User[];
    onlineMore?: boolean;
};
type Rate = {
    burst: number;
    perMinute: number;
};
type Limits = {
    messageBytes: number;
    messages: Rate;
    userMessages: Rate;
    joins: Rate;
    userJoins: Rate;
    sessions: number;
    rooms: number;
    roomSize: number;
    waiting: number;
    unacknowledgedMessages: number;
    unacknowledgedBytes: number;
    dataBytes?: number;
    callDataBytes?: number;
};
type ErrorMessage = {
    type: "error";
    ref?: string;
    code: string;
    message: string;
    field?: string;
    retryAfter?: number;
    away?: boolean;
    limit?: "sessions" | "rooms";
};
type RoomState = {
    room: string;
    size: number;
    host?: string;
    locked?: boolean;
    waiting?: boolean;
    peers: PeerInfo[];
    knocks?: PeerInfo[];
};
type Joined = {
    type: "joined";
    ref?: string;
} & RoomState;
type Signal = {
    type: "signal";
    room: string;
    from: string;
    description?: Description;
    candidate?: RTCIceCandidateInit | null;
    candidates?: (RTCIceCandidateInit | null)[];
};
type ServerMessage = {
    seq?: number;
} & (Welcome | ErrorMessage | Joined | {
    type: "left";
    ref?: string;
    room: string;
    reason: string;
} | {
    type: "peer-joined";
    room: string;
    peer: PeerInfo;
} | {
    type: "peer-left";
    room: string;
    session: string;
    reason: string;
} | {
    type: "peer-away";
    room: string;
    session: string;
} | {
    type: "peer-back";
    room: string;
    session: string;
    fresh?: boolean;
} | Signal | {
    type: "online";
    ref?: string;
    users: User[];
    more?: boolean;
} | {
    type: "offline";
    users: User[];
} | Refreshed | {
    type: "renamed";
    ref?: string;
    name: string;
} | {
    type: "peer-renamed";
    room: string;
    session: string;
    name: string;
} | {
    type: "said";
    ref?: string;
    room: string;
    missed?: string[];
} | {
    type: "data";
    room: string;
    from: string;
    topic?: string;
    data: unknown;
} | {
    type: "call";
    call: string;
    from: User;
    data?: unknown;
} | {
    type: "ringing";
    ref?: string;
    call: string;
    to: User;
    data?: unknown;
} | {
    type: "accept";
    ref?: string;
    call: string;
    room: string;
} | {
    type: "decline" | "cancel";
    ref?: string;
    call: string;
    reason?: string;
} | {
    type: "hangup";
    ref?: string;
    call: string;
    room?: string;
} | {
    type: "ice-servers";
    iceServers: RTCIceServer[];
    iceExpires: string;
} | {
    type: "resume";
    token: string;
} | {
    type: "ack" | "pong";
    ref: string;
} | {
    type: "going-away";
    retryAfter: number;
} | {
    type: "host";
    room: string;
    session: string;
} | {
    type: "locked" | "unlocked";
    ref?: string;
    room: string;
    by: string;
} | {
    type: "kicked" | "admitted" | "refused";
    ref?: string;
    room: string;
    session: string;
} | {
    type: "waiting";
    ref?: string;
    room: string;
} | {
    type: "knock";
    room: string;
    peer: PeerInfo;
} | {
    type: "knock-over";
    room: string;
    session: string;
});

/**
 * @typedef {{ text: string, at: Date }} ChatMessage
 * @typedef {{ line: string, sent: number, waiting: Numbered[], from: string, received: number }} SavedChat for a reload
 * @typedef {{ n: number, text: string, at: string }} Numbered
 */
/** Greatest length of a chat message, in UTF-16 units. */
declare const MAX_TEXT: 4000;
/**
 * The chat with one peer: every message once and in order, over as many data channels as it takes. A channel that is lost
 * may or may not have delivered its messages. So each message has a number, waits until the peer acknowledges it, and is
 * sent again on the next channel. The peer recognizes repetitions by the number.
 *
 *     {type: 'chat', line, n, text, at}     line: a random id, one for all messages of this sender to this peer
 *     {type: 'chat-ack', line, n}           every message up to n has arrived
 */
declare class PeerChat {
    /** @param {SavedChat} [saved] by the page before this one */
    constructor(saved?: SavedChat);
    /** @returns {SavedChat} */
    get saved(): SavedChat;
    /**
     * Sends a message now, or as soon as a channel opens.
     *
     * @param {ChatMessage} message
     * @throws {TurnpikeError} `slow` if too many messages wait already
     */
    send({ text, at }: ChatMessage): void;
    /** Sends the messages that wait, on a channel that has opened. @param {RTCDataChannel} channel */
    open(channel: RTCDataChannel): void;
    /**
     * @param {any} message of the types above; its fields may be anything, since they come from the peer
     * @param {RTCDataChannel} channel that it came on
     * @returns {ChatMessage | undefined} undefined if there is nothing to show
     */
    receive(message: any, channel: RTCDataChannel): ChatMessage | undefined;
    #private;
}
type ChatMessage = {
    text: string;
    at: Date;
};
/**
 * for a reload
 */
type SavedChat = {
    line: string;
    sent: number;
    waiting: Numbered[];
    from: string;
    received: number;
};
type Numbered = {
    n: number;
    text: string;
    at: string;
};

/**
 * The path that packets take to a peer.
 */
type Path = {
    /**
     * relayed if the packets pass a relay of either side
     */
    kind: "direct" | "relayed";
    /**
     * between us and the peer, or between us and our relay
     */
    protocol: "udp" | "tcp" | "tls" | "dtls";
    /**
     * milliseconds to the peer and back; undefined until measured
     */
    rtt: number | undefined;
    /**
     * the URL of our own relay, or else the address of the peer's; undefined if direct
     */
    via: string | undefined;
    /**
     * our own relay is the server's, whose kernel forwards the packets
     */
    offloaded?: boolean | undefined;
};

type Media = {
    audio: MediaStreamTrack | null;
    video: MediaStreamTrack | null;
};

/**
 * @import { ChatMessage, PeerChat } from './chat.js'
 * @import { Negotiated, PeerInfo, Signal } from '../server/messages.js'
 * @import { Media } from './negotiation.js'
 * @import { Path } from './path.js'
 *
 * @typedef {object} PeerOptions
 * @property {string} self our own session
 * @property {boolean} offers whether we make the first offer, since we came after the peer
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {RTCIceServer[]} iceServers
 * @property {Media} media the tracks that we send from the start
 * @property {URL} [home] the server, which knows about our relays
 * @property {PeerChat} chat
 * @property {(session: string, negotiated: Negotiated) => void} send to the peer, through the server
 *
 * @typedef {object} PeerEvents
 * @property {RTCPeerConnectionState} state
 * @property {MediaStreamTrack} track one of the peer's tracks; all of them are in `peer.stream`
 * @property {{ audio: boolean, video: boolean }} media the kinds that the peer says it sends; also in `peer.media`
 * @property {ChatMessage} message chat; `at` by the peer's clock
 * @property {unknown} error a step of the negotiation failed, or a message to the room does not reach this peer (`slow`)
 */
/**
 * Another session in a room, and the connection with it. A peer outlives its connection: the peer may reload its page, and
 * either side may come back under a new session. Media and chat go on then. The former connection carries them until the
 * next one works.
 *
 * The session with the smaller id is polite. The data channel carries JSON messages: `{type: 'media', audio, video}` and
 * the types of PeerChat. Other types are ignored.
 *
 * @extends {Emitter<PeerEvents>}
 */
declare class Peer extends Emitter<PeerEvents> {
    /**
     * @param {PeerInfo} info
     * @param {PeerOptions} options
     */
    constructor(info: PeerInfo, options: PeerOptions);
    chat: PeerChat;
    /** Stays the same for as long as the peer is in the room, also when it comes back under a new session. */
    id: string;
    session: string;
    user: string;
    name: string;
    /** Whether the server cannot reach the peer. Media and chat may go on all the same. */
    away: boolean;
    /** The peer's tracks, for a `<video>`'s srcObject. */
    stream: MediaStream;
    /** The kinds that the peer says it sends. A muted or missing track still exists on our side. */
    media: {
        audio: boolean;
        video: boolean;
    };
    get polite(): boolean;
    /** The RTCPeerConnection that carries media and chat at this moment. */
    get connection(): RTCPeerConnection;
    /** @returns {RTCPeerConnectionState} */
    get state(): RTCPeerConnectionState;
    /**
     * The path that packets take at this moment.
     *
     * @returns {Promise<Path | undefined>} undefined while there is none
     */
    path(): Promise<Path | undefined>;
    /**
     * Changes the tracks that we send; null sends nothing of that kind. Call it too when a track's `enabled` changes, so
     * that the peer learns of it.
     *
     * @param {Media} media
     */
    share(media: Media): Promise<void>;
    /**
     * Sends chat text. It arrives once: now, or as soon as the peer can be reached.
     *
     * @param {ChatMessage} message
     * @throws {import('../error.js').TurnpikeError} `slow` if too many messages wait already
     */
    sendMessage(message: ChatMessage): void;
    /** Whether media and chat go through at this moment, even if the server cannot reach the peer. */
    get isConnected(): boolean;
    /** Whether an offer of ours waits for its answer. */
    get isOffering(): boolean;
    /** @returns {Promise<number | undefined>} grows with everything that comes in from the peer; undefined if unknown */
    signsOfLife(): Promise<number | undefined>;
    /** @param {Pick<Signal, 'description' | 'candidate' | 'candidates'>} signal */
    receive(signal: Pick<Signal, "description" | "candidate" | "candidates">): Promise<void>;
    /** @param {RTCIceServer[]} iceServers */
    setIceServers(iceServers: RTCIceServer[]): void;
    /**
     * Finds a new path to the peer.
     *
     * @param {object} [options]
     * @param {boolean} [options.lost] messages of the negotiation may have been lost
     */
    restart(options?: {
        lost?: boolean | undefined;
    }): Promise<void>;
    /**
     * Makes a new connection after an interruption. A new path for the present connection would be slower: the browser asks
     * again for the packets of the interruption. It waits for them, or shows stale pictures, for seconds.
     *
     * @param {{ lost?: boolean }} [options] as of `restart`, for a peer who cannot tell one connection from another
     */
    reconnect(options?: {
        lost?: boolean;
    }): void;
    /**
     * Makes a new connection, and gives up the former one once the new one works.
     *
     * @param {PeerInfo} info
     * @param {{ self: string, offers: boolean }} options
     */
    renew(info: PeerInfo, { self, offers }: {
        self: string;
        offers: boolean;
    }): void;
    close(): void;
    #private;
}
type PeerOptions = {
    /**
     * our own session
     */
    self: string;
    /**
     * whether we make the first offer, since we came after the peer
     */
    offers: boolean;
    RTCPeerConnection: typeof RTCPeerConnection;
    iceServers: RTCIceServer[];
    /**
     * the tracks that we send from the start
     */
    media: Media;
    /**
     * the server, which knows about our relays
     */
    home?: URL | undefined;
    chat: PeerChat;
    /**
     * to the peer, through the server
     */
    send: (session: string, negotiated: Negotiated) => void;
};
type PeerEvents = {
    state: RTCPeerConnectionState;
    /**
     * one of the peer's tracks; all of them are in `peer.stream`
     */
    track: MediaStreamTrack;
    /**
     * the kinds that the peer says it sends; also in `peer.media`
     */
    media: {
        audio: boolean;
        video: boolean;
    };
    /**
     * chat; `at` by the peer's clock
     */
    message: ChatMessage;
    /**
     * a step of the negotiation failed, or a message to the room does not reach this peer (`slow`)
     */
    error: unknown;
};

/**
 * The peers in a room. A peer can stay after its session has ended: if the server could not reach it, but its media still
 * reaches us. It takes its place again when its user comes back.
 */
declare class Roster {
    /**
     * @param {RoomClient} client
     * @param {Room} room emits the events
     */
    constructor(client: RoomClient, room: Room);
    /** @type {Map<string, Peer>} by id */
    peers: Map<string, Peer>;
    /**
     * We have entered the room. The people who were there before us get an offer.
     *
     * @param {PeerInfo[]} infos
     * @param {boolean} anew whether our session is another than before
     */
    entered(infos: PeerInfo[], anew: boolean): void;
    /**
     * The server has restarted. We are back in the room, with the peers that are back already.
     *
     * @param {PeerInfo[]} infos
     * @param {number} patience milliseconds to wait for the others
     */
    restored(infos: PeerInfo[], patience: number): void;
    /**
     * @param {PeerInfo[]} infos of the peers that are back
     * @param {number} patience milliseconds to wait for the others
     */
    awaitAllBut(infos: PeerInfo[], patience: number): void;
    /**
     * @param {PeerInfo} info
     * @param {{ offers: boolean }} options whether the first offer is ours
     */
    add(info: PeerInfo, { offers }: {
        offers: boolean;
    }): void;
    /**
     * @param {string} session
     * @param {string} reason
     */
    remove(session: string, reason: string): void;
    /** @param {string} session that the server cannot reach */
    away(session: string): void;
    /**
     * @param {string} session
     * @param {boolean} fresh its page was loaded anew, and makes an offer as a newcomer does
     */
    back(session: string, fresh: boolean): void;
    /**
     * @param {string} session
     * @param {string} name
     */
    renamed(session: string, name: string): void;
    /** @param {string} session of this moment */
    of(session: string): Peer | undefined;
    /** @param {string} reason */
    clear(reason: string): void;
    /** @returns {[session: string, chat: SavedChat][]} */
    get chats(): [session: string, chat: SavedChat][];
    #private;
}

/**
 * @import { User } from '../server/messages.js'
 * @import { Room, RoomClient } from './room.js'
 *
 * @typedef {object} CallEvents
 * @property {{ room: Room }} accept both are in the room now
 * @property {{ reason: string }} decline
 * @property {{ reason: string }} cancel reason: cancelled, timeout, answered-elsewhere, gone
 * @property {{ reason: string }} hangup reason: hangup, or why the room was left
 * @property {{ event: 'decline' | 'cancel' | 'hangup', reason: string }} end follows each of the three events above
 */
/**
 * A ring from one user to another, which leads to a room of two or to nothing. A new call rings. `client.call()` resolves
 * with an outgoing call; the client's `call` event brings an incoming one.
 *
 * @extends {Emitter<CallEvents>}
 */
declare class Call extends Emitter<CallEvents> {
    /**
     * @param {RoomClient} client
     * @param {string} id
     * @param {'incoming' | 'outgoing'} direction
     * @param {User} user the other one
     */
    constructor(client: RoomClient, id: string, direction: "incoming" | "outgoing", user: User);
    id: string;
    direction: "incoming" | "outgoing";
    user: User;
    /** @type {'ringing' | 'accepted' | 'ended'} */
    state: "ringing" | "accepted" | "ended";
    /** @type {string | undefined} the id of the room that the call led to */
    roomId: string | undefined;
    /**
     * Accepts an incoming call.
     *
     * @returns {Promise<Room>} the room that both are in
     */
    accept(): Promise<Room>;
    /** Refuses an incoming call. */
    decline(): Promise<void>;
    /** Cancels an outgoing call while it rings. An answered call must be hung up instead. */
    cancel(): Promise<void>;
    /** Ends an accepted call, for both. */
    hangup(): Promise<void>;
    /** @param {string} roomId */
    accepted(roomId: string): void;
    /** @param {Room} room */
    joined(room: Room): void;
    /**
     * @param {'decline' | 'cancel' | 'hangup'} event
     * @param {string} reason
     */
    end(event: "decline" | "cancel" | "hangup", reason: string): void;
    #private;
}
type CallEvents = {
    /**
     * both are in the room now
     */
    accept: {
        room: Room;
    };
    decline: {
        reason: string;
    };
    /**
     * reason: cancelled, timeout, answered-elsewhere, gone
     */
    cancel: {
        reason: string;
    };
    /**
     * reason: hangup, or why the room was left
     */
    hangup: {
        reason: string;
    };
    /**
     * follows each of the three events above
     */
    end: {
        event: "decline" | "cancel" | "hangup";
        reason: string;
    };
};

/**
 * @import { Unsubscribe } from '../emitter.js'
 * @import { ClientOptions } from '../options.js'
 * @import { SavedChat } from '../peer/chat.js'
 * @import { Media } from '../peer/negotiation.js'
 * @import { Peer } from '../peer/peer.js'
 * @import { ClientMessage, PeerInfo, RoomState, ServerMessage, Signal } from '../server/messages.js'
 * @import { Call } from './call.js'
 *
 * @typedef {object} RoomClient what rooms and calls need of their Client
 * @property {string} session our own
 * @property {string} role
 * @property {RTCIceServer[]} iceServers
 * @property {Pick<ClientOptions, 'url' | 'RTCPeerConnection'>} options
 * @property {Map<string, Room>} rooms by id
 * @property {Map<string, Call>} calls by id
 * @property {(message: ClientMessage) => void} send
 * @property {(message: ClientMessage, signal?: AbortSignal) => Promise<any>} request resolves with the answer
 * @property {(room: string, reason: string) => void} roomEnded
 * @property {(peer: Peer) => void} doubt
 * @property {(room: string, session: string) => SavedChat | undefined} claimChat
 *
 * @typedef {object} RoomEvents
 * @property {{ peer: Peer }} peer-joined
 * @property {{ peer: Peer, reason: string }} peer-left reason: leave, hangup, bye, gone, slow, bad-message, shutdown, kicked
 * @property {{ peer: Peer }} peer-away the server cannot reach the peer; media may go on, and chat waits
 * @property {{ peer: Peer, fresh: boolean }} peer-back fresh: with a new connection, for example after a reload
 * @property {{ peer: Peer, former: string }} peer-renamed the peer has another name than the former one
 * @property {{ peer: Peer, text: string, at: Date }} message chat
 * @property {{ reason: string }} left we are out for good; reason: `leave`, `hangup`, `kicked`, `returned` (its people are back after a restart, and we came before them), or the code of the error that prevented our return
 * @property {{ host: Peer | 'me' | undefined }} host there is another host now
 * @property {{ by: Peer | 'me' | undefined }} locked nobody can join any more; `by` is undefined if it happened while we were away
 * @property {{ by: Peer | 'me' | undefined }} unlocked
 * @property {{ peer: PeerInfo }} knock somebody waits to be let in, and is in `knocks`; only moderators learn of it
 * @property {{ peer: PeerInfo }} knock-renamed they have another name
 * @property {{ peer: PeerInfo, outcome: KnockOutcome }} knock-over they no longer wait
 *
 * @typedef {'admitted' | 'refused' | 'over'} KnockOutcome over: they gave up, lost the connection, or were kicked
 */
/**
 * A room that we are in, and the peers in it. Both outlive lost connections and reloaded pages.
 *
 * @extends {Emitter<RoomEvents>}
 */
declare class Room extends Emitter<RoomEvents> {
    /**
     * @param {RoomClient} client
     * @param {RoomState} joined
     */
    constructor(client: RoomClient, joined: RoomState);
    id: string;
    size: number;
    /** Whether nobody can join, except moderators. */
    locked: boolean;
    /** Whether newcomers wait to be let in. */
    hasWaitingRoom: boolean;
    /** Whether we have made the room, by joining it first. */
    created: boolean;
    /** @type {Map<string, PeerInfo>} the people who wait to be let in, by session; empty unless we moderate */
    knocks: Map<string, PeerInfo>;
    /** For Client. */
    roster: Roster;
    /** @type {ReadonlyMap<string, Peer>} by the `id` of the peer */
    peers: ReadonlyMap<string, Peer>;
    /** @type {Media} */
    media: Media;
    get isLeft(): boolean;
    /** @returns {Peer | 'me' | undefined} undefined in a call's room, which has none, and if the host left just now */
    get host(): Peer | "me" | undefined;
    get isHost(): boolean;
    /** Whether we may lock, kick and let people in: as the host, or by our role. */
    get moderates(): boolean;
    /**
     * Calls the handler for every peer: at once for those who are there, and later for those who come.
     *
     * @param {(peer: Peer, gone: AbortSignal) => void} handler `gone` aborts when the peer has left, and after the unsubscribing
     * @returns {Unsubscribe}
     */
    eachPeer(handler: (peer: Peer, gone: AbortSignal) => void): Unsubscribe;
    /** Lets nobody join any more, except moderators. @throws {TurnpikeError} `not-host` */
    lock(): Promise<void>;
    /** Lets everybody join again. @throws {TurnpikeError} `not-host` */
    unlock(): Promise<void>;
    /**
     * Removes a peer's user, who cannot come back as long as the room exists.
     *
     * @param {Pick<Peer, 'session'>} peer
     * @throws {TurnpikeError} `not-host`, `forbidden`, `not-in-room`
     */
    kick({ session }: Pick<Peer, "session">): Promise<void>;
    /**
     * Lets somebody in who knocks.
     *
     * @param {Pick<PeerInfo, 'session'>} knock one of `knocks`
     * @throws {TurnpikeError} `not-host`, `full`, `not-in-room` if they no longer wait
     */
    admit({ session }: Pick<PeerInfo, "session">): Promise<void>;
    /**
     * Sends somebody away who knocks.
     *
     * @param {Pick<PeerInfo, 'session'>} knock one of `knocks`
     * @throws {TurnpikeError} `not-host`, `not-in-room` if they no longer wait
     */
    refuse({ session }: Pick<PeerInfo, "session">): Promise<void>;
    /**
     * Sets the tracks that every peer gets from us, now and later; null sends nothing of that kind. Call it again when a
     * track's `enabled` changes, so that the others learn of it.
     *
     * @param {Media} media
     */
    share(media: Media): Promise<void>;
    /**
     * Sends chat text to every peer in the room. It goes directly to the peers, never through the server's signaling.
     *
     * @param {string} text
     * @returns {{ text: string, at: Date }}
     * @throws {TurnpikeError} `too-long`, or `slow` if no peer can take it; a single peer that cannot emits `error`
     */
    sendMessage(text: string): {
        text: string;
        at: Date;
    };
    /** Leaves, and resolves when the server knows. */
    leave(): Promise<void>;
    /** @param {RoomState} joined lists the others; those that we do not know yet are new */
    update(joined: RoomState): void;
    /** Applies news about the host, the lock, names or the waiting room; other messages change nothing. @param {ServerMessage} message */
    moderate(message: ServerMessage): void;
    /**
     * The server has restarted, and has put us into the room.
     *
     * @param {RoomState} state
     * @param {number} patience milliseconds to wait for the others to come back
     */
    restored(state: RoomState, patience: number): void;
    /** @param {Signal} signal */
    receive(signal: Signal): void;
    /** @param {string} reason */
    end(reason: string): void;
    #private;
}
/**
 * what rooms and calls need of their Client
 */
type RoomClient = {
    /**
     * our own
     */
    session: string;
    role: string;
    iceServers: RTCIceServer[];
    options: Pick<ClientOptions, "url" | "RTCPeerConnection">;
    /**
     * by id
     */
    rooms: Map<string, Room>;
    /**
     * by id
     */
    calls: Map<string, Call>;
    send: (message: ClientMessage) => void;
    /**
     * resolves with the answer
     */
    request: (message: ClientMessage, signal?: AbortSignal) => Promise<any>;
    roomEnded: (room: string, reason: string) => void;
    doubt: (peer: Peer) => void;
    claimChat: (room: string, session: string) => SavedChat | undefined;
};
type RoomEvents = {
    "peer-joined": {
        peer: Peer;
    };
    /**
     * reason: leave, hangup, bye, gone, slow, bad-message, shutdown, kicked
     */
    "peer-left": {
        peer: Peer;
        reason: string;
    };
    /**
     * the server cannot reach the peer; media may go on, and chat waits
     */
    "peer-away": {
        peer: Peer;
    };
    /**
     * fresh: with a new connection, for example after a reload
     */
    "peer-back": {
        peer: Peer;
        fresh: boolean;
    };
    /**
     * the peer has another name than the former one
     */
    "peer-renamed": {
        peer: Peer;
        former: string;
    };
    /**
     * chat
     */
    message: {
        peer: Peer;
        text: string;
        at: Date;
    };
    /**
     * we are out for good; reason: `leave`, `hangup`, `kicked`, `returned` (its people are back after a restart, and we came before them), or the code of the error that prevented our return
     */
    left: {
        reason: string;
    };
    /**
     * there is another host now
     */
    host: {
        host: Peer | "me" | undefined;
    };
    /**
     * nobody can join any more; `by` is undefined if it happened while we were away
     */
    locked: {
        by: Peer | "me" | undefined;
    };
    unlocked: {
        by: Peer | "me" | undefined;
    };
    /**
     * somebody waits to be let in, and is in `knocks`; only moderators learn of it
     */
    knock: {
        peer: PeerInfo;
    };
    /**
     * they have another name
     */
    "knock-renamed": {
        peer: PeerInfo;
    };
    /**
     * they no longer wait
     */
    "knock-over": {
        peer: PeerInfo;
        outcome: KnockOutcome;
    };
};
/**
 * over: they gave up, lost the connection, or were kicked
 */
type KnockOutcome = "admitted" | "refused" | "over";

type Retry = {
    /**
     * that has failed, from 1; each outage counts anew
     */
    attempt: number;
    /**
     * milliseconds until the next one, unless the network comes back sooner
     */
    inMs: number;
    cause: TurnpikeError;
};

type PresenceChange = {
    /**
     * came, or have another name now
     */
    online: User[];
    offline: User[];
};

/**
 * What a Client tells and takes, as types.
 */
type JoinOptions = {
    /**
     * make the room if there is none of this id
     */
    create?: boolean | undefined;
    /**
     * 2 to 16 people; for creating
     */
    size?: number | undefined;
    /**
     * later people must wait until the host lets them in; for creating
     */
    waitingRoom?: boolean | undefined;
    /**
     * called when we must wait to be let in
     */
    onWaiting?: (() => void) | undefined;
    /**
     * called when the room is full with somebody who has lost the connection. We try again until they
     * are back or their time is over
     */
    onFull?: (() => void) | undefined;
    /**
     * gives up, also while we wait to be let in
     */
    signal?: AbortSignal | undefined;
};
/**
 * `connecting` until the first welcome
 */
type ClientStatus = "connecting" | "online" | "reconnecting" | "closed";
type ClientEvents = {
    /**
     * signed in. first: for the first time; replayed: back, and nothing
     * is lost; restored: back, and the server has restarted; anew: another session had to begin, which enters our rooms again, and
     * calls that rang are over
     */
    online: {
        how: "first" | "replayed" | "restored" | "anew";
    };
    /**
     * the connection is lost, once for each outage. The session may come back,
     * requests wait for it, and media between peers goes on
     */
    reconnecting: {
        cause: TurnpikeError;
    };
    /**
     * we cannot sign in again, for example because the invite has expired. Media that goes on
     * between peers goes on, and we try again now and then; `closed` follows when nobody is connected any more
     */
    barred: {
        error: TurnpikeError;
    };
    /**
     * an attempt to connect has failed, and the next one follows in `inMs`
     */
    retry: Retry;
    /**
     * other people came or went, or have another name; guests see nobody
     */
    presence: PresenceChange;
    /**
     * an incoming one
     */
    call: {
        call: Call;
    };
    /**
     * we are in it: by `join`, by a call, or since before a reload
     */
    room: {
        room: Room;
        how: "join" | "call" | "reload";
    };
    /**
     * we have another name, by `rename`, also in another tab
     */
    renamed: {
        name: string;
    };
    /**
     * the server is about to stop
     */
    "going-away": {
        retryAfter: number;
    };
    /**
     * the session ends in so long unless `refresh` gets a new ticket; only without `getTicket`
     */
    expiring: {
        seconds: number;
    };
    /**
     * the server's error for a message without an answer
     */
    error: TurnpikeError;
    /**
     * for good. `error` says why; it is missing after `close`
     */
    closed: {
        error?: unknown;
    };
};

type InviteRole = "guest" | "member" | "moderator" | "admin";
type InviteRequest = {
    /**
     * its id; may be left out by a client that is in one room
     */
    room?: string | undefined;
    /**
     * of those who come by it, not above one's own; default: guest
     */
    role?: InviteRole | undefined;
    /**
     * so many people; default, or 0: any number
     */
    uses?: number | undefined;
    /**
     * seconds; default: a day
     */
    expiresIn?: number | undefined;
};
/**
 * an invite that we have made
 */
type Invite = {
    id: string;
    /**
     * lets people in
     */
    link: string;
    /**
     * the part of the link for `getTicket`
     */
    invite: string;
    room: string;
    role: InviteRole;
    /**
     * 0: any number
     */
    uses: number;
    used: number;
    expires: string;
};
/**
 * the invite by which we came
 */
type OwnInvite = Pick<Invite, "room" | "role" | "uses" | "used" | "expires">;
type InviteList = {
    /**
     * that we have made and are good
     */
    invites: Invite[];
    yours?: OwnInvite | undefined;
    /**
     * that we may give; none: we may make no invites
     */
    roles: InviteRole[];
};

/**
 * A session with the server. It outlives lost connections, changes of network, restarts of the server and, with a
 * `storage`, reloads of the page. The client reconnects by itself.
 *
 * @extends {Emitter<ClientEvents>}
 */
declare class Client extends Emitter<ClientEvents> {
    /** @param {ClientOptions} options */
    constructor(options: ClientOptions);
    /** @returns {ClientStatus} */
    get status(): ClientStatus;
    /** Our own, which others know us by; another one after `online` with `anew`. */
    get session(): string;
    /** Our identifier, issuer and subject of the ticket. */
    get user(): string;
    /** The name that others see. */
    get name(): string;
    /** `guest`, `member`, `moderator` or `admin`. */
    get role(): string;
    /** @returns {RTCIceServer[]} with a credential for this session alone; `ice-servers` tells of new ones */
    get iceServers(): RTCIceServer[];
    /** @returns {Limits | undefined} what this session may do; undefined before the first welcome */
    get limits(): Limits | undefined;
    /** @returns {ReadonlyMap<string, User>} everyone else who is online, by user; the first of them if `hasMoreOnline` */
    get online(): ReadonlyMap<string, User>;
    /** @returns {ReadonlyMap<string, Room>} those that we are in, by id */
    get rooms(): ReadonlyMap<string, Room>;
    /** @returns {ReadonlyMap<string, Call>} those that ring or go on, by id */
    get calls(): ReadonlyMap<string, Call>;
    /** Whether more people are online than `online` has. */
    get hasMoreOnline(): boolean;
    /** Adds the next of the people who are online to `online`, if there are more; `presence` fires. */
    listMore(): Promise<void>;
    /**
     * Signs in and stays signed in until `close`. Resolves at the first welcome. Until then a server that cannot be reached is
     * tried again.
     *
     * @throws {TurnpikeError} what time will not heal, such as `unauthorized`, `name-taken`, `bad-url`, or `timeout`
     */
    open(): Promise<undefined>;
    /**
     * Joins a room. Without an id, the server makes one up and creates the room. If the room has a waiting room, this
     * resolves once somebody has let us in.
     *
     * @param {string} [id]
     * @param {JoinOptions} [options]
     * @returns {Promise<Room>}
     * @throws {TurnpikeError} `not-existing`, `full` (unless somebody there is away and goes in time), `locked`, `kicked`, `refused`, `forbidden`, `bad-message`
     */
    join(id?: string, { create, size, waitingRoom, onWaiting, onFull, signal }?: JoinOptions): Promise<Room>;
    /**
     * Rings a user. Resolves when the user's client rings.
     *
     * @param {string} user
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<Call>}
     * @throws {TurnpikeError} `no-such-user`, `busy`, `forbidden`
     */
    call(user: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Call>;
    /**
     * Has the session go on with a new ticket of the same user, and its rights; nothing breaks off. A client with `getTicket`
     * does so by itself.
     *
     * @param {string} ticket
     * @returns {Promise<any>}
     * @throws {TurnpikeError} `unauthorized`, `forbidden`
     */
    refresh(ticket: string): Promise<any>;
    /**
     * Takes another name. The session, its rooms and its calls stay; room mates hear `peer-renamed`.
     *
     * @param {string} name
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<string>} the name in force
     * @throws {TurnpikeError} `name-taken`, `bad-message` (no name can be so), `forbidden` (the app whose ticket we have gives our name), `rate-limited`
     */
    rename(name: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<string>;
    /**
     * Makes a link that lets people into a room.
     *
     * @param {InviteRequest & { signal?: AbortSignal }} [request]
     * @returns {Promise<Invite>}
     * @throws {TurnpikeError} `forbidden`, `too-many-invites`, `bad-request`, `rate-limited`, `offline`
     */
    createInvite({ signal, ...invite }?: InviteRequest & {
        signal?: AbortSignal;
    }): Promise<Invite>;
    /**
     * Lists the invites that this user has made, and the one by which it came.
     *
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<InviteList>}
     */
    invites({ signal }?: {
        signal?: AbortSignal;
    }): Promise<InviteList>;
    /**
     * Takes an invite back. The sessions of those who came by it end.
     *
     * @param {string} id
     * @param {{ signal?: AbortSignal }} [options]
     * @throws {TurnpikeError} `not-found`
     */
    revokeInvite(id: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /** Says farewell: the session and its relays end. Resolves when the server has closed the connection. */
    close(): Promise<void>;
    #private;
}

type ClientOptions = {
    /**
     * the server; default: the server that this file came from
     */
    url?: string | URL | undefined;
    /**
     * admits us; once it has expired, no new session can begin
     */
    ticket?: string | undefined;
    /**
     * called for every new session, and
     * before a session ends that may not become older
     */
    getTicket?: ((request: TicketRequest) => Promise<string | {
        ticket: string;
    }>) | undefined;
    /**
     * a guest's own choice; default: the ticket's
     */
    name?: string | undefined;
    /**
     * returns another name to try; undefined gives up
     */
    onNameTaken?: ((taken: string) => string | undefined) | undefined;
    /**
     * called before the first event, to add listeners
     */
    setup?: ((client: Client) => void) | undefined;
    /**
     * by which a reload returns to the session; default: sessionStorage in a browser, for the
     * first client of a page. With null, or without one, the session ends with its page
     */
    storage?: TabStorage | null | undefined;
    /**
     * fires `online`, `visibilitychange`, `pagehide` and `pageshow`; default: the page's window
     */
    events?: EventTarget | undefined;
    /**
     * closes the client, whenever it aborts
     */
    signal?: AbortSignal | undefined;
    /**
     * seconds to wait for the first welcome, after which `connect` rejects with `timeout`; default: 30
     */
    timeout?: number | undefined;
    /**
     * default: the platform's
     */
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
    /**
     * default: the platform's
     *
     * Such as sessionStorage. It must belong to this tab and this Client alone.
     */
    RTCPeerConnection?: {
        new (configuration?: RTCConfiguration): RTCPeerConnection;
        prototype: RTCPeerConnection;
        generateCertificate(keygenAlgorithm: AlgorithmIdentifier): Promise<RTCCertificate>;
    } | undefined;
};
type TabStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;
type TicketRequest = {
    /**
     * that the ticket should be for
     */
    name: string | undefined;
    /**
     * of the server, as in the options
     */
    url: string | URL | undefined;
    /**
     * a stored ticket will not do: the server has refused the last one, or the session needs a new one
     */
    fresh: boolean;
    signal: AbortSignal;
};

/** @typedef {{ ticket: string, expires: string, name: string, role: string, rooms: string[] }} Ticket */
/**
 * Asks the server for a ticket, which admits its bearer for some minutes. It fits the option of the same name:
 * `connect({ getTicket })`, or with an invite `connect({ getTicket: (request) => getTicket({ ...request, invite }) })`.
 *
 * @param {object} [request]
 * @param {string | undefined} [request.name] shown to others, 1 to 32 characters; default: made up, such as "Guest 482"
 * @param {string | undefined} [request.invite] from an invite link; without one, the server's configuration decides
 * @param {string | URL | undefined} [request.url] the server; default: the server that this file came from
 * @param {AbortSignal | undefined} [request.signal]
 * @returns {Promise<Ticket>}
 * @throws {TurnpikeError} `invite-required`, `unauthorized`, `expired`, `invite-used`, `invite-revoked`, `name-taken`, `bad-request`, `rate-limited`, `offline`
 */
declare function getTicket({ name, invite, url, signal }?: {
    name?: string | undefined;
    invite?: string | undefined;
    url?: string | URL | undefined;
    signal?: AbortSignal | undefined;
}): Promise<Ticket>;
type Ticket = {
    ticket: string;
    expires: string;
    name: string;
    role: string;
    rooms: string[];
};

/**
 * Signs in, and resolves with the client once the server has welcomed it. A server that cannot be reached is tried
 * again for as long as it takes; pass a `signal` to limit the wait.
 *
 * What happens before this resolves is told to listeners that are added right after it, or in `options.setup`.
 *
 * @param {import('./options.js').ClientOptions} options
 * @returns {Promise<Client>}
 * @throws {import('./error.js').TurnpikeError} an error that waiting will not heal, such as `unauthorized` or `name-taken`
 */
declare function connect(options: ClientOptions): Promise<Client>;

export { Call, Client, MAX_TEXT, Peer, Room, TurnpikeError, codeOf, connect, getTicket };
export type { CallEvents, ChatMessage, ClientEvents, ClientMessage, ClientOptions, ClientStatus, Description, ErrorCode, ErrorDetails, ErrorMessage, Invite, InviteList, InviteRequest, InviteRole, JoinMessage, JoinOptions, Joined, KnockOutcome, Limits, Media, Negotiated, Numbered, OwnInvite, Path, PeerEvents, PeerInfo, PeerOptions, PresenceChange, Rate, Refreshed, Resume, Retry, RoomClient, RoomEvents, RoomState, SavedChat, ServerMessage, Signal, TabStorage, Ticket, TicketRequest, Unsubscribe, User, Welcome };
