// The types of the turnpike SDK. `make types` makes this file of the SDK's sources.

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

/**
 * What one side can share with the others, each from its own track.
 */
type Source = "microphone" | "camera" | "screen" | "screenAudio";
type Tracks = { readonly [S in Source]: MediaStreamTrack | null; };
/**
 * A track begins to be shared, null ends it, and what is left out stays as it is. Of a MediaStream the first audio track is
 * the microphone, and the first video track the camera.
 */
type SourcesOn = { readonly [S in Source]: boolean; };
type Share = MediaStream | { [S in Source]?: MediaStreamTrack | null | undefined; };

/**
 * Has events, each with a detail that its listeners get as their argument, and a snapshot of its state.
 *
 * @template {Record<string, any>} Events names and the type of each one's detail
 * @template [Snapshot=undefined]
 */
declare class Emitter<Events extends Record<string, any>, Snapshot = undefined> {
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
    /**
     * An immutable object with the state of this moment, the same until something changes. With `subscribe` it suits React's
     * `useSyncExternalStore(room.subscribe, () => room.snapshot)`, and the like.
     *
     * @returns {Snapshot}
     */
    get snapshot(): Snapshot;
    /**
     * Calls the listener after each change of `snapshot`.
     *
     * @param {() => void} listener
     * @returns {Unsubscribe}
     */
    subscribe: (listener: () => void) => Unsubscribe;
    #private;
}
type Unsubscribe = () => void;

/**
 * A data channel of an app with one peer, known by its label. It outlives connections: each new one gets a data channel of
 * the label. Both sides may open it, in any order.
 *
 * @extends {Emitter<PeerChannelEvents>}
 */
declare class PeerChannel extends Emitter<PeerChannelEvents, undefined> {
    /**
     * @param {string} label
     * @param {(label: string) => void} onClose tells the peer that we have closed it
     */
    constructor(label: string, onClose: (label: string) => void);
    label: string;
    /** @returns {'connecting' | 'open' | 'closed'} */
    get state(): "connecting" | "open" | "closed";
    /** Bytes that wait to be sent on the present connection. */
    get bufferedAmount(): number;
    /**
     * Sends once the channel is open and has room. Messages go in the order of the calls.
     *
     * @param {string | ArrayBuffer | ArrayBufferView<ArrayBuffer>} data
     * @param {{ signal?: AbortSignal | undefined }} [options] `signal` gives up waiting
     * @throws {TurnpikeError} `closed`
     */
    send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>, { signal }?: {
        signal?: AbortSignal | undefined;
    }): Promise<void>;
    /** Closes the channel for both sides. */
    close(): void;
    #private;
}
type PeerChannelEvents = {
    /**
     * data goes through, for the first time or on another connection; what was under way on the one before may be lost
     */
    open: null;
    /**
     * a string, or an ArrayBuffer
     */
    message: unknown;
    /**
     * nothing goes through until the next `open`
     */
    interrupted: null;
    /**
     * for good: by either side, or the peer has left
     */
    closed: null;
};

/**
 * @param {unknown} error
 * @returns {ErrorCode | ''} the code of a TurnpikeError, else ''
 */
declare function codeOf(error: unknown): ErrorCode | "";
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
 * Every code. docs/sdk.md says what each of them means. In groups: the server's, as in signal/PROTOCOL.md; its own where it gives
 * tickets and invites; ours; and why a call leads to no room, or why we are out of one.
 */
type ErrorCode = ("unauthorized" | "name-taken" | "bad-message" | "forbidden" | "not-existing" | "full" | "locked" | "kicked" | "not-host" | "not-in-room" | "no-such-user" | "busy" | "no-such-call" | "no-such-session" | "rate-limited" | "slow" | "internal" | "invite-required" | "invite-used" | "invite-revoked" | "too-many-invites" | "not-found" | "expired" | "bad-request" | "offline" | "barred" | "timeout" | "ticket" | "bad-url" | "unsupported" | "too-long" | "ended" | "refused" | "closed" | "declined" | "cancelled" | "answered-elsewhere" | "gone" | "hangup" | "leave" | "returned" | "revoked" | "replaced");
type ErrorDetails = {
    field?: string | undefined;
    retryAfter?: number | undefined;
    away?: boolean | undefined;
    limit?: "sessions" | "rooms" | undefined;
    hint?: string | undefined;
    cause?: unknown;
};

/**
 * @import { SavedLine } from './line.js'
 *
 * @typedef {{ text: string, at: Date }} ChatMessage
 * @typedef {SavedLine} SavedChat for a reload
 */
/** Greatest length of a chat message, in UTF-16 units. */
declare const MAX_TEXT: 4000;
type ChatMessage = {
    text: string;
    at: Date;
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
    transports?: string[];
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

/**
 * @typedef {{ data: unknown, topic: string }} Data
 * @typedef {{ fields: { topic: string, data?: unknown, bytes?: string }, size: number }} Packed a copy of the data, or bytes as base64
 */
/** Greatest length of what is sent at once, in UTF-16 units of its JSON or base64. */
declare const MAX_DATA: number;

/**
 * Another session in a room, and the connection with it. A peer outlives its connection: the peer may reload its page, and
 * either side may come back under a new session. Media, chat and data go on then.
 *
 * @extends {Emitter<PeerEvents, PeerSnapshot>}
 */
declare class Peer extends Emitter<PeerEvents, Readonly<{
    peer: Peer;
    id: string;
    session: string;
    user: string;
    name: string;
    away: boolean;
    state: RTCPeerConnectionState;
    path: Path | undefined;
    sources: SourcesOn;
}>> {
    private constructor();
    /** Never changes in the life of the peer. */
    id: string;
    /** Of this moment; see `id`. */
    get session(): string;
    get user(): string;
    get name(): string;
    /** Whether the server cannot reach the peer. Media and chat may go on all the same. */
    get away(): boolean;
    /** Whether the peer takes no part in media: a bot, for example. It has no connection then. */
    get isMediaLess(): boolean;
    /** @returns {RTCPeerConnectionState} */
    get state(): RTCPeerConnectionState;
    /** The path that packets take; undefined while there is none. */
    get path(): Path | undefined;
    /** What the peer shares at this moment. A track may still exist that carries nothing. */
    get sources(): SourcesOn;
    /** How loud the peer is at this moment, from 0 to 1. */
    get level(): number;
    /** The peer's microphone and camera, for a `<video>`'s srcObject; always the same object. */
    get stream(): MediaStream;
    /** The peer's screen and its sound; always the same object. */
    get screen(): MediaStream;
    /** The RTCPeerConnection of this moment; others follow: see `rtc.onConnection` of the options. */
    get connection(): RTCPeerConnection | undefined;
    /**
     * Sends chat text. It arrives once: now, or as soon as the peer can be reached.
     *
     * @param {string} text
     * @throws {import('../error.js').TurnpikeError} `slow` if too many messages wait already, `too-long`
     */
    sendMessage(text: string): ChatMessage;
    /**
     * Sends data of your app: what JSON can say, or bytes. Resolves once there is room for it in the buffers.
     *
     * @param {unknown} data
     * @param {SendOptions} [options]
     * @returns {Promise<boolean>} false if the peer does not get it: it has left, takes no data, or `reliable` is false and
     * nothing goes through
     */
    send(data: unknown, { topic, reliable, signal }?: SendOptions): Promise<boolean>;
    /**
     * Opens a data channel that outlives connections, or returns the one of this label.
     *
     * @param {string} label of 1 to 64 characters
     * @param {RTCDataChannelInit} [init] `ordered`, `maxRetransmits`, `maxPacketLifeTime`, `protocol`
     * @returns {PeerChannel}
     */
    openChannel(label: string, init?: RTCDataChannelInit): PeerChannel;
    #private;
}
type PeerSnapshot = Readonly<{
    peer: Peer;
    id: string;
    session: string;
    user: string;
    name: string;
    away: boolean;
    state: RTCPeerConnectionState;
    path: Path | undefined;
    sources: SourcesOn;
}>;
type PeerEvents = {
    state: RTCPeerConnectionState;
    /**
     * what the peer shares has changed
     */
    sources: SourcesOn;
    /**
     * is new in `stream` or `screen`
     */
    track: MediaStreamTrack;
    /**
     * packets take another one, or the time that they take has changed
     */
    path: Path | undefined;
    /**
     * chat; `at` by the peer's clock
     */
    message: ChatMessage;
    /**
     * the peer has this message of ours, or the server has it for a peer who takes no part in WebRTC
     */
    delivered: ChatMessage;
    /**
     * that the peer has sent to us, or to the room
     */
    data: {
        data: unknown;
        topic: string;
    };
    /**
     * that the peer has opened
     */
    channel: {
        channel: PeerChannel;
    };
    /**
     * a step of the negotiation failed, or a message to the room does not reach this peer (`slow`)
     */
    error: unknown;
};
type SendOptions = {
    /**
     * of at most 64 characters, by which the receiver tells one kind of data from another
     */
    topic?: string | undefined;
    /**
     * default true: once and in order, over other connections if need be. False: at once or never
     */
    reliable?: boolean | undefined;
    /**
     * gives up waiting for room
     */
    signal?: AbortSignal | undefined;
};

/**
 * to: default all; via: default `peer`, which
 * falls back on the server for peers who take no part in WebRTC
 */
type RoomSendOptions = SendOptions & {
    to?: Peer | Peer[];
    via?: "peer" | "server";
};

/**
 * A ring from one user to another, which leads to a room of two or to nothing. `client.call()` resolves with an outgoing call
 * that rings; the client's `call` event brings an incoming one.
 *
 * @extends {Emitter<CallEvents, CallSnapshot>}
 */
declare class Call extends Emitter<CallEvents, Readonly<{
    id: string;
    state: "ringing" | "answered" | "ended";
    user: User;
    data: unknown;
}>> {
    private constructor();
    id: string;
    direction: "incoming" | "outgoing";
    user: User;
    data: unknown;
    /**
     * The room, once somebody has answered. Rejects with the outcome as its code: `declined`, `timeout`, `cancelled`,
     * `answered-elsewhere`, `gone`.
     *
     * @type {Promise<Room>}
     */
    answered: Promise<Room>;
    /** @type {Promise<CallEnd>} how it ended, whether it was answered or not; never rejects */
    ended: Promise<CallEnd>;
    /** Whether it rings, was answered, or has ended. */
    get state(): "ended" | "ringing" | "answered";
    /** @returns {string | undefined} the id of the room that the call led to */
    get roomId(): string | undefined;
    /**
     * Answers an incoming call.
     *
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<Room>} the room that both are in
     * @throws {TurnpikeError} `no-such-call`, `busy`, or an outcome
     */
    accept({ signal }?: {
        signal?: AbortSignal;
    }): Promise<Room>;
    /**
     * Refuses an incoming call.
     *
     * @param {string} [reason] for the caller to read, up to 200 characters
     * @param {Abortable} [options]
     */
    decline(reason?: string, { signal }?: Abortable): Promise<void>;
    /** Cancels an outgoing call while it rings. An answered call must be hung up instead. @param {Abortable} [options] */
    cancel({ signal }?: Abortable): Promise<void>;
    /** Ends the call for both, whatever its state is. @param {Abortable} [options] */
    hangup(options?: Abortable): Promise<void>;
    #private;
}
/**
 * timeout: nobody answered;
 * answered-elsewhere: another session of ours did; gone: somebody lost the connection while it rang; hangup: it was answered, and is over
 */
type CallOutcome = "declined" | "cancelled" | "timeout" | "answered-elsewhere" | "gone" | "hangup";
type CallEnd = {
    outcome: CallOutcome;
    /**
     * who ended it; undefined if nobody did on purpose
     */
    by: "me" | "them" | undefined;
    /**
     * what they said when they declined; or why the room of the call was left
     */
    reason?: string | undefined;
};
type CallEvents = {
    /**
     * both are in the room now
     */
    answered: {
        room: Room;
    };
    ended: CallEnd;
};

/**
 * ended: the device is gone, or the user has
 * stopped it in the browser's own controls; muted, unmuted: by us, by the system or by a switch of the device
 */
type SharingReason = "shared" | "stopped" | "ended" | "muted" | "unmuted";

/**
 * A room that we are in, and the peers in it. Both outlive lost connections and reloaded pages.
 *
 * @extends {Emitter<RoomEvents, RoomSnapshot>}
 */
declare class Room extends Emitter<RoomEvents, Readonly<{
    id: string;
    size: number;
    locked: boolean;
    hasWaitingRoom: boolean;
    host: Peer | "me" | undefined;
    isHost: boolean;
    isLeft: boolean;
    speaker: Peer | undefined;
    sources: Tracks;
    peers: readonly PeerSnapshot[];
    knocks: readonly PeerInfo[];
}>> {
    private constructor();
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
    /** @type {ReadonlyMap<string, Peer>} by the `id` of the peer */
    peers: ReadonlyMap<string, Peer>;
    get isLeft(): boolean;
    /** @returns {Peer | 'me' | undefined} undefined in a call's room, which has none, and if the host left just now */
    get host(): Peer | "me" | undefined;
    get isHost(): boolean;
    /** @returns {Peer | undefined} the peer who speaks, or was the last to speak. With more than eight people, only its camera is sent to us */
    get speaker(): Peer | undefined;
    /** Whether we may lock, kick and let people in: as the host, or by our role. */
    get moderates(): boolean;
    /**
     * Calls the handler for every peer: at once for those who are there, and later for those who come.
     *
     * @param {(peer: Peer, gone: AbortSignal) => void} handler `gone` aborts when the peer has left, and after the unsubscribing
     * @returns {Unsubscribe}
     */
    eachPeer(handler: (peer: Peer, gone: AbortSignal) => void): Unsubscribe;
    /** Lets nobody join any more, except moderators. @param {Abortable} [options] @throws {TurnpikeError} `not-host` */
    lock({ signal }?: Abortable): Promise<void>;
    /** Lets everybody join again. @param {Abortable} [options] @throws {TurnpikeError} `not-host` */
    unlock({ signal }?: Abortable): Promise<void>;
    /**
     * Removes a peer's user, who cannot come back as long as the room exists.
     *
     * @param {Pick<Peer, 'session'>} peer
     * @param {Abortable} [options]
     * @throws {TurnpikeError} `not-host`, `forbidden`, `not-in-room`
     */
    kick({ session }: Pick<Peer, "session">, { signal }?: Abortable): Promise<void>;
    /**
     * Lets somebody in who knocks.
     *
     * @param {Pick<PeerInfo, 'session'>} knock one of `knocks`
     * @param {Abortable} [options]
     * @throws {TurnpikeError} `not-host`, `full`, `not-in-room` if they no longer wait
     */
    admit({ session }: Pick<PeerInfo, "session">, { signal }?: Abortable): Promise<void>;
    /**
     * Sends somebody away who knocks.
     *
     * @param {Pick<PeerInfo, 'session'>} knock one of `knocks`
     * @param {Abortable} [options]
     * @throws {TurnpikeError} `not-host`, `not-in-room` if they no longer wait
     */
    refuse({ session }: Pick<PeerInfo, "session">, { signal }?: Abortable): Promise<void>;
    /** The tracks that we share, by source; null where there is none. */
    get sources(): Tracks;
    /**
     * Shares tracks with every peer, now and later. A source that is left out stays as it is, and null stops it. A track that
     * ends by itself is not shared any more.
     *
     * @param {Share} share such as `{camera: track, microphone: null}`, or the MediaStream of a camera and a microphone
     * @throws {TypeError} if it is anything else; nothing is changed then
     */
    share(share: Share): Promise<void>;
    /**
     * Sets `enabled` of a track that we share, and tells the peers.
     *
     * @param {Source} source
     * @param {boolean} [muted]
     */
    mute(source: Source, muted?: boolean): void;
    /**
     * Sends chat text to every peer in the room. It goes directly to the peers, and by way of the server only to those who take
     * no part in WebRTC. The event `delivered` tells of each peer who has it. Those who have lost the connection get it if they
     * come back.
     *
     * @param {string} text
     * @param {{ to?: Peer | Peer[] }} [options] to: default all
     * @returns {{ text: string, at: Date, missed: Peer[] }} missed: those who cannot take it, since too much waits for them
     * @throws {TypeError} if it is no text
     * @throws {TurnpikeError} `too-long`, or `slow` if no peer can take it
     */
    sendMessage(text: string, { to }?: {
        to?: Peer | Peer[];
    }): {
        text: string;
        at: Date;
        missed: Peer[];
    };
    /**
     * Sends data of your app, which is what JSON can say, or bytes. It goes directly to the peers, and by way of the
     * server to those who take no part in WebRTC, which takes only JSON, and less of it: see `client.limits`. Resolves once there is
     * room for it in the buffers to all of them. Each peer gets it once and in order, over other connections if need be.
     *
     * @param {unknown} data
     * @param {RoomSendOptions} [options]
     * @returns {Promise<{ missed: Peer[] }>} missed: those who do not get it, since they have left or take no data
     */
    send(data: unknown, options?: RoomSendOptions): Promise<{
        missed: Peer[];
    }>;
    /** Leaves, and resolves when the server knows. @param {Abortable} [options] */
    leave({ signal }?: Abortable): Promise<void>;
    #private;
}
/**
 * `signal` gives up waiting for the answer
 */
type Abortable = {
    signal?: AbortSignal;
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
     * the peer's state, path, name or sources are others, or whether it is away
     */
    "peer-changed": {
        peer: Peer;
    };
    /**
     * what we share has changed, perhaps by itself
     */
    sources: {
        source: Source;
        reason: SharingReason;
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
     * the peer has this message of ours
     */
    delivered: {
        peer: Peer;
        text: string;
        at: Date;
    };
    /**
     * that a peer has sent to us, or to the room
     */
    data: {
        peer: Peer;
        data: unknown;
        topic: string;
    };
    /**
     * we are out for good; reason: `leave`, `hangup`, `kicked`, `returned` (its people are back after a restart, and we came before them), or the code of the error that prevented our return
     */
    left: {
        reason: string;
    };
    /**
     * another peer speaks now
     */
    speaker: {
        peer: Peer | undefined;
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
     *
     * Of one moment.
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
 *
 * Of one moment. `online` has those who are online, as far as the server has listed them.
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
     * the server has sent new credentials; `client.iceServers` has them
     */
    "ice-servers": {
        iceServers: RTCIceServer[];
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
 * @extends {Emitter<ClientEvents, ClientSnapshot>}
 */
declare class Client extends Emitter<ClientEvents, Readonly<{
    status: ClientStatus;
    session: string;
    user: string;
    name: string;
    role: string;
    rooms: readonly Room[];
    calls: readonly Call[];
    online: readonly User[];
    hasMoreOnline: boolean;
}>> {
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
    /**
     * Adds the next of the people who are online to `online`, if there are more; `presence` fires.
     *
     * @param {{ signal?: AbortSignal }} [options]
     */
    listMore({ signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
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
     * Rings a user. Resolves when the user's client rings; then wait for `call.answered`.
     *
     * @param {string | User} user
     * @param {{ data?: unknown, signal?: AbortSignal }} [options] data: for the other side to see while it rings, as JSON
     * @returns {Promise<Call>}
     * @throws {TurnpikeError} `no-such-user`, `busy`, `forbidden`
     */
    call(user: string | User, { data, signal }?: {
        data?: unknown;
        signal?: AbortSignal;
    }): Promise<Call>;
    /**
     * Has the session go on with a new ticket of the same user, and its rights; nothing breaks off. A client with `getTicket`
     * does so by itself.
     *
     * @param {string} ticket
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<any>}
     * @throws {TurnpikeError} `unauthorized`, `forbidden`
     */
    refresh(ticket: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<any>;
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
    /** Says farewell: the session and its relays end. Resolves when the server has closed the connection. @param {{ signal?: AbortSignal }} [options] */
    close({ signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
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
     * false: takes no part in WebRTC, such as a bot or a test in Node.js. It joins, reads and says by way of
     * the server; the others make it no offers
     */
    media?: boolean | undefined;
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
    rtc?: RTCOptions | undefined;
};
type RTCOptions = {
    /**
     * `relay` hides addresses from the peers, and tries out relays
     */
    iceTransportPolicy?: RTCIceTransportPolicy | undefined;
    /**
     * default: the platform's
     */
    RTCPeerConnection?: {
        new (configuration?: RTCConfiguration): RTCPeerConnection;
        prototype: RTCPeerConnection;
        generateCertificate(keygenAlgorithm: AlgorithmIdentifier): Promise<RTCCertificate>;
    } | undefined;
    /**
     * default: the platform's; where there is none, peers have data but no media
     */
    MediaStream?: {
        new (): MediaStream;
        new (stream: MediaStream): MediaStream;
        new (tracks: MediaStreamTrack[]): MediaStream;
        prototype: MediaStream;
    } | undefined;
    /**
     * called with each connection that is made, before
     * anything is done with it: for codecs, statistics and the like
     *
     * Such as sessionStorage. It must belong to this tab and this Client alone.
     */
    onConnection?: ((connection: RTCPeerConnection, peer: Peer) => void) | undefined;
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

/**
 * Our own devices. A muted microphone stays open, so that it is back at once. A camera that is turned off is released, so that
 * its light goes out.
 *
 * @extends {Emitter<DevicesEvents>}
 */
declare class Devices extends Emitter<DevicesEvents, undefined> {
    /** @param {DevicesOptions} [options] */
    constructor({ mediaDevices, permissions, constraints, signal }?: DevicesOptions);
    /** @type {Tracks} what `room.share` takes */
    tracks: Tracks;
    /**
     * Opens camera and microphone. If the browser does not give both, each is opened alone, so that one is there if the other is
     * missing or refused.
     *
     * @param {{ camera?: boolean, microphone?: boolean } & Openable} [wanted] default: both
     * @returns {Promise<{ [D in Device]: Problem | null }>} null: open, or not wanted
     */
    start({ camera, microphone, signal }?: {
        camera?: boolean;
        microphone?: boolean;
    } & Openable): Promise<{ [D in Device]: Problem | null; }>;
    /**
     * Turns the camera on or off, or mutes the microphone or ends that; a microphone that is not there is opened.
     *
     * @param {Device} device
     * @param {Openable} [options]
     * @returns {Promise<Problem | null>}
     */
    toggle(device: Device, options?: Openable): Promise<Problem | null>;
    /** @param {Device} device @param {Openable} [options] @returns {Promise<Problem | null>} */
    open(device: Device, { signal }?: Openable): Promise<Problem | null>;
    /** Releases what a source has open, or is about to open. @param {Source} source */
    close(source: Source): void;
    /**
     * Takes another device from now on.
     *
     * @param {Device} device
     * @param {string} id one of `list`
     * @param {Openable} [options]
     * @returns {Promise<Problem | null>}
     */
    use(device: Device, id: string, options?: Openable): Promise<Problem | null>;
    /**
     * Lets the user choose a screen, a window or a tab, with its sound if the browser has it.
     *
     * @param {DisplayMediaStreamOptions} [options]
     * @param {Openable} [more]
     * @returns {Promise<Problem | null>}
     */
    shareScreen(options?: DisplayMediaStreamOptions, { signal }?: Openable): Promise<Problem | null>;
    stopScreen(): void;
    /**
     * What there is to choose from. Browsers tell the labels only once a device was opened.
     *
     * @returns {Promise<{ cameras: DeviceInfo[], microphones: DeviceInfo[] }>}
     */
    list(): Promise<{
        cameras: DeviceInfo[];
        microphones: DeviceInfo[];
    }>;
    /** @param {Device} device @returns {Promise<PermissionState | 'unknown'>} unknown: this browser does not say */
    permission(device: Device): Promise<PermissionState | "unknown">;
    /** Releases everything, for good. */
    stop(): void;
    #private;
}
type ProblemCode = "refused" | "missing" | "busy" | "insecure" | "cancelled";
/**
 * `message` is a sentence for the user
 */
type Problem = {
    source: Source;
    code: ProblemCode;
    message: string;
};
type Device = "camera" | "microphone";
type DevicesEvents = {
    /**
     * others than before, or one of them is muted: share them
     */
    tracks: Tracks;
    /**
     * a device could not be opened
     */
    problem: Problem;
    /**
     * a device is gone, or the user has stopped it in the
     * browser's own controls; replaced: another one has taken its place
     */
    lost: {
        source: Source;
        label: string;
        replaced: boolean;
    };
    /**
     * the system, or a switch of the device, has silenced it, or has ceased to
     */
    muted: {
        source: Source;
        muted: boolean;
    };
    /**
     * there are others to choose from, or the user may use others: see `list`
     */
    devices: null;
};
type DeviceInfo = {
    id: string;
    label: string;
    used: boolean;
};
/**
 * `signal` gives up what is being opened
 */
type Openable = {
    signal?: AbortSignal;
};
type DevicesOptions = {
    /**
     * releases everything, for good
     */
    signal?: AbortSignal | undefined;
    /**
     * default: the browser's
     */
    mediaDevices?: MediaDevices | undefined;
    /**
     * default: the browser's
     */
    permissions?: Permissions | undefined;
    /**
     * more than the usual ones
     */
    constraints?: {
        camera?: MediaTrackConstraints | undefined;
        microphone?: MediaTrackConstraints | undefined;
    } | undefined;
};

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

export { Call, Client, Devices, MAX_DATA, MAX_TEXT, Peer, PeerChannel, Room, TurnpikeError, codeOf, connect, getTicket };
export type { Abortable, CallEnd, CallEvents, CallOutcome, ChatMessage, ClientEvents, ClientOptions, ClientStatus, Device, DeviceInfo, DevicesEvents, DevicesOptions, ErrorCode, ErrorDetails, Invite, InviteList, InviteRequest, InviteRole, JoinOptions, KnockOutcome, Limits, Openable, OwnInvite, Path, PeerChannelEvents, PeerEvents, PeerInfo, PeerSnapshot, PresenceChange, Problem, ProblemCode, RTCOptions, Rate, Retry, RoomEvents, RoomSendOptions, SendOptions, Share, SharingReason, Source, SourcesOn, TabStorage, Ticket, TicketRequest, Tracks, Unsubscribe, User };
