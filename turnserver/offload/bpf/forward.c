/*
 * forward relays the packets of established TURN flows at the ingress of an interface, before the IP stack sees them
 * (RFC 8656 §12). What user space tells it is in the maps; see doc.go for who writes what.
 *
 *	parse      is this a plain UDP datagram?
 *	find       which flow is it of? Its addresses say, and the header that it may have before its data
 *	match      is the flow alive, and known to pass here unchanged by any NAT?
 *	admit      does it fit the next link, and its bandwidth?
 *	resize     room for the headers it leaves with
 *	rewrite    those headers, with correct checksums
 *
 * Until admit is done nothing has been changed, and whatever does not fit goes up to the sockets, which know all cases. Of the
 * kernel's versions, 5.15 and later have all that is used here.
 */
#include "kernel.h"
#include "wire.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

/*
 * key is what a packet shows of its flow. A packet from the client has the client as remote, the listener as local, and the
 * channel; one from the peer has the peer as remote, the relayed address as local, and no channel.
 */
struct key {
	struct address remote, local;
	be16 remote_port, local_port;
	be16 channel;
	u16 zero;
};

/* send_key is what a Send indication from the client shows of its flow: where it came from, without a channel, and the peer. */
struct send_key {
	struct key from;
	struct address peer;
	be16 peer_port;
	u16 zero;
};

/*
 * flow is what becomes of a packet: it leaves as one from `from` to `to`, in ChannelData if there is a channel. The same fields
 * are the key of the flow's other direction, whose packets come from `to`.
 */
struct flow {
	u64 expires; /* CLOCK_MONOTONIC, ns, as are all times */

	/* What has passed, written here and read by user space. */
	u64 packets, bytes; /* bytes are of data, without ChannelData headers */
	u64 seen;           /* when a packet last had this key */

	struct address from, to;
	be16 from_port, to_port;
	be16 channel;
	u8 flags;
	u8 confirmed; /* the other direction has been seen; written here */
	u32 ifindex;   /* out of which interface; 0: none is known */
	u32 dropped;   /* packets over its bandwidth; written here */
	u32 meters[3]; /* which bound that; 0: none */
	u16 sum_in;    /* sum of the addresses that packets come with, */
	u16 sum_out;   /* and of those that they leave with, as their checksums have them */
};

enum flag {
	FLOW_HOP = 1, /* `to` is a relayed address of this node: the flow from there on is the one with the key (from, to) */
	FLOW_V6 = 2,  /* `to` is an IPv6 address */
	FLOW_DATA = 4, /* the data leaves in Data indications */
};

/*
 * meter is a bandwidth in the form of GCRA: a packet takes time, and may not be taken further ahead of the clock than burst. User space
 * has the same memory and takes from it, too, for packets that it relays itself.
 */
struct meter {
	u64 cost;  /* ns a byte, in 1/65536 */
	u64 burst; /* ns */
	u64 taken; /* until when time has been given out */
};

/* totals counts, for each CPU, what became of packets that had the key of a flow. User space adds them up. */
struct totals {
	u64 packets_up, packets_down; /* from clients, to clients */
	u64 bytes_up, bytes_down;
	u64 hops; /* from client to client; they are in up and down, too */

	/* Dropped. */
	u64 over_rate;
	u64 failed; /* the kernel had no memory */

	/* Passed up to the sockets. */
	u64 expired;
	u64 unconfirmed;
	u64 unrouted;
	u64 too_long;  /* for the next link in one piece, or for shift */
	u64 untypical; /* wrong or unusual lengths */
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_HASH);
	MAP_UINT(map_flags, BPF_F_NO_PREALLOC);
	MAP_UINT(max_entries, 1); /* user space sets it */
	MAP_TYPE(key, struct key);
	MAP_TYPE(value, struct flow);
} flows SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_HASH);
	MAP_UINT(map_flags, BPF_F_NO_PREALLOC);
	MAP_UINT(max_entries, 1); /* user space sets it */
	MAP_TYPE(key, struct send_key);
	MAP_TYPE(value, struct flow);
} sends SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_UINT(map_flags, BPF_F_MMAPABLE);
	MAP_UINT(max_entries, 1); /* user space sets it */
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct meter);
} meters SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_UINT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct totals);
} count SEC(".maps");

/* Room for the data of a packet that shift moves. */
enum { SCRATCH = 2048 };
struct scratch {
	u8 bytes[SCRATCH];
};
struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_UINT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct scratch);
} scratch SEC(".maps");

/* heartbeat is until when the programs that outlive the process forward: user space moves it on (attach_linux.go). */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_UINT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u64);
} heartbeat SEC(".maps");

/* packet is what parse learns. */
struct packet {
	struct key key;
	u32 l4;      /* where the UDP header is */
	u32 payload; /* size of what follows it */
	bool v6;
	u8 class; /* DSCP and ECN */
	u8 hops;
	u16 checksum;
	struct channel first; /* what follows the UDP header: a ChannelData header, if it is one */
};

/* route is how a packet goes. */
struct route {
	struct flow *in, *out; /* the same but in a hop */
	u32 size;              /* of the data */
	u32 head, padding;     /* before it and behind it, as it comes */
	u32 new_head, new_padding; /* and as it leaves */
	u16 head_sum;          /* of what is before the data as it comes */
	struct address peer;   /* whom the data is from, where Data indications are to tell */
	be16 peer_port;
};

/* fold makes a sum of 16-bit words, of either byte order, one word (RFC 1071). */
INLINE u16 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* minus takes a word out of a sum that it is added to. */
INLINE u16 minus(u16 word)
{
	return ~word;
}

INLINE u64 sum_ipv4(const struct ipv4 *h)
{
	const u32 *w = (const u32 *)h;
	return (u64)w[0] + w[1] + w[2] + w[3] + w[4];
}

INLINE u64 sum_udp(const struct udp *h)
{
	return (u64)h->from + h->to + h->size + h->size; /* the size is in the pseudo header, too */
}

INLINE u64 sum_channel(const struct channel *h)
{
	return (u64)h->number + h->size;
}

/* pad is what makes size a multiple of four. */
INLINE u32 pad(u32 size)
{
	return -size & 3;
}

/* sum_indication is the sum of one that ends where it must: of what is behind an IPv4 one, there is nothing. */
INLINE u64 sum_indication(const struct indication *h)
{
	const u32 *w = (const u32 *)h;
	u64 sum = 0;
	for (int i = 0; i < INDICATION6 / 4; i++)
		sum += w[i];
	return sum;
}

/* headers returns the packet's first bytes if there are as many, in one piece. */
INLINE void *headers(struct __sk_buff *skb, u32 size)
{
	void *data = (void *)(long)skb->data;
	if (LIKELY(data + size <= (void *)(long)skb->data_end))
		return data;
	if (bpf_skb_pull_data(skb, size))
		return 0;
	data = (void *)(long)skb->data;
	return data + size <= (void *)(long)skb->data_end ? data : 0;
}

INLINE bool parse_udp(struct packet *p, const struct udp *h, u32 size)
{
	const struct channel *channel = (const void *)(h + 1);
	if (ntohs(h->size) != size)
		return false;
	p->payload = size - UDP;
	p->checksum = h->checksum;
	p->first = *channel;
	p->key.remote_port = h->from;
	p->key.local_port = h->to;
	return true;
}

INLINE void map_ipv4(struct address *to, be32 address)
{
	to->word[0] = to->word[1] = 0;
	to->word[2] = htonl(0xffff);
	to->word[3] = address;
}

INLINE bool parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	const u32 least = ETHERNET + IPV4 + UDP + CHANNEL;
	void *data = headers(skb, least);
	if (!data)
		return false;
	const struct ipv4 *h = data + ETHERNET;
	const u16 no_fragment = htons(0x4000); /* says nothing of this packet; the other bits do */
	if (h->protocol != PROTO_UDP || h->version_size != 0x45 || h->fragment & ~no_fragment)
		return false;
	if (ntohs(h->total) != skb->len - ETHERNET || fold(sum_ipv4(h)) != 0xffff)
		return false;
	map_ipv4(&p->key.remote, h->from);
	map_ipv4(&p->key.local, h->to);
	p->l4 = ETHERNET + IPV4;
	p->v6 = false;
	p->class = h->class;
	p->hops = h->hops;
	return parse_udp(p, data + ETHERNET + IPV4, skb->len - ETHERNET - IPV4);
}

INLINE bool parse_ipv6(struct __sk_buff *skb, struct packet *p)
{
	const u32 least = ETHERNET + IPV6 + UDP + CHANNEL;
	void *data = headers(skb, least);
	if (!data)
		return false;
	const struct ipv6 *h = data + ETHERNET;
	u32 first = ntohs(h->version_class_label) << 16 | ntohs(h->version_class_label >> 16);
	if (h->next != PROTO_UDP || first >> 28 != 6)
		return false;
	if (ntohs(h->payload) != skb->len - ETHERNET - IPV6)
		return false;
	p->key.remote = h->from;
	p->key.local = h->to;
	p->l4 = ETHERNET + IPV6;
	p->v6 = true;
	p->class = first >> 20;
	p->hops = h->hops;
	return parse_udp(p, data + ETHERNET + IPV6, skb->len - ETHERNET - IPV6);
}

INLINE bool parse(struct __sk_buff *skb, struct packet *p)
{
	/* A packet that stands for several, each with a ChannelData header of its own, is cut up by the IP stack. */
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present || skb->gso_size)
		return false;
	if (skb->protocol == htons(ETH_P_IP))
		return parse_ipv4(skb, p);
	if (skb->protocol == htons(ETH_P_IPV6))
		return parse_ipv6(skb, p);
	return false;
}

/* xor_address puts the IPv6 address of an indication into clear, or an address in clear into the form that it has there. */
INLINE void xor_address(struct address *to, const struct address *from, const struct indication *h)
{
	to->word[0] = from->word[0] ^ h->cookie;
	to->word[1] = from->word[1] ^ h->id[0];
	to->word[2] = from->word[2] ^ h->id[1];
	to->word[3] = from->word[3] ^ h->id[2];
}

INLINE bool is_ipv4(const struct address *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == htonl(0xffff);
}

/*
 * find_send finds the flow of a Send indication, if its layout is the usual one: the peer, the data, and no more. What has other
 * attributes, or another length than it says, is for user space to judge.
 */
INLINE struct flow *find_send(struct __sk_buff *skb, const struct packet *p, struct route *r)
{
	const u32 at = p->l4 + UDP;
	struct indication h = {};
	struct send_key key = {.from = p->key};
	struct attribute data;
	if (p->payload < INDICATION4 || bpf_skb_load_bytes(skb, at, &h, INDICATION4))
		return 0;
	if (h.cookie != htonl(COOKIE) || ntohs(h.size) != p->payload - STUN || h.peer.type != htons(XOR_PEER_ADDRESS))
		return 0;
	if (h.family == htons(FAMILY4) && h.peer.size == htons(8)) {
		r->head = INDICATION4;
		map_ipv4(&key.peer, h.v4.address ^ htonl(COOKIE));
		data = h.v4.data;
	} else if (h.family == htons(FAMILY6) && h.peer.size == htons(20)) {
		if (p->payload < INDICATION6 || bpf_skb_load_bytes(skb, at, &h, INDICATION6))
			return 0;
		r->head = INDICATION6;
		xor_address(&key.peer, &h.v6.address, &h);
		data = h.v6.data;
	} else {
		return 0;
	}
	r->size = ntohs(data.size);
	if (data.type != htons(ATTR_DATA) || r->head + r->size + pad(r->size) != p->payload)
		return 0;
	key.peer_port = h.port ^ htons(COOKIE >> 16);
	r->head_sum = fold(sum_indication(&h));
	return bpf_map_lookup_elem(&sends, &key);
}

/* find finds the flow of a packet, and what it has before its data. */
INLINE struct flow *find(struct __sk_buff *skb, const struct packet *p, struct route *r)
{
	struct key key = p->key;
	struct flow *f = 0;
	if ((p->first.number & htons(0xf000)) == htons(0x4000)) {
		key.channel = p->first.number;
		f = bpf_map_lookup_elem(&flows, &key);
		key.channel = 0;
		r->head = CHANNEL;
		r->size = ntohs(p->first.size);
		r->head_sum = fold(sum_channel(&p->first));
	} else if (p->first.number == htons(SEND)) {
		f = find_send(skb, p, r);
	}
	if (f)
		return f;
	r->head = r->head_sum = 0;
	r->size = p->payload;
	return bpf_map_lookup_elem(&flows, &key);
}

/*
 * confirm reports whether packets of the other direction came by here with the addresses that user space knows. If they do not,
 * there is NAT on this very host, between here and the sockets, and what the sockets send must go through it.
 */
INLINE bool confirm(const struct route *r)
{
	struct flow *f = r->out, *other;
	if (LIKELY(f->confirmed))
		return true;
	struct send_key back = {
		.from = {
			.remote = f->to, .local = f->from,
			.remote_port = f->to_port, .local_port = f->from_port,
			.channel = f->channel,
		},
		.peer = r->peer, .peer_port = r->peer_port,
	};
	if (f->flags & FLOW_DATA)
		other = bpf_map_lookup_elem(&sends, &back);
	else
		other = bpf_map_lookup_elem(&flows, &back.from);
	if (!other || !other->seen)
		return false;
	f->confirmed = 1;
	return true;
}

/* hop is the flow that a packet of f goes on in, if f leads to another relayed address of this node. */
INLINE struct flow *hop(const struct flow *f)
{
	struct key key = {
		.remote = f->from, .local = f->to,
		.remote_port = f->from_port, .local_port = f->to_port,
	};
	return bpf_map_lookup_elem(&flows, &key);
}

/* over reports whether a packet exceeds a bandwidth. Two takers at the same moment may be given one packet too many. */
INLINE bool over(u32 id, u64 now, u32 size)
{
	struct meter *m = id ? bpf_map_lookup_elem(&meters, &id) : 0;
	if (!m)
		return false;
	u64 cost = size * m->cost >> 16, taken = m->taken;
	if (taken < now)
		m->taken = taken = now;
	if (taken + cost > now + m->burst)
		return true;
	__sync_fetch_and_add(&m->taken, cost);
	return false;
}

INLINE bool flow_over(const struct flow *f, u64 now, u32 size)
{
	return over(f->meters[0], now, size) || over(f->meters[1], now, size) || over(f->meters[2], now, size);
}

/*
 * is_partial reports whether the sum of the payload is not in the checksum yet, but left to the next network card, as with what
 * comes from this machine or its hypervisor. Such a checksum is the sum of the pseudo header; that this is no coincidence
 * shows when the kernel is told of a change in the payload, which does not matter to such a checksum.
 */
INLINE bool is_partial(struct __sk_buff *skb, const struct packet *p, const struct flow *f)
{
	u32 offset = p->l4 + __builtin_offsetof(struct udp, checksum);
	u16 pseudo = fold((u64)f->sum_in + htons(PROTO_UDP) + htons(p->payload + UDP)), now = 0;
	if (LIKELY(p->checksum != pseudo))
		return false;
	if (bpf_l4_csum_replace(skb, offset, 0, htons(1), 0) || bpf_skb_load_bytes(skb, offset, &now, sizeof now))
		return false;
	return now == p->checksum;
}

/*
 * shift moves the data by as many bytes as the headers before it grow, by copying. Where the packet's start is moved instead, a
 * checksum that is left to the network card would be put into the wrong place, for the kernel notes that place and no program can
 * change it.
 */
INLINE bool shift(struct __sk_buff *skb, u32 data, u32 size, int by)
{
	u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s || size < 1 || size > SCRATCH)
		return false;
	if (bpf_skb_load_bytes(skb, data, s->bytes, size))
		return false;
	if (bpf_skb_change_tail(skb, skb->len + by, 0))
		return false;
	return !bpf_skb_store_bytes(skb, data + by, s->bytes, size, 0);
}

/* padding_sum is the sum of the bytes behind the data, at most three of them. */
INLINE u16 padding_sum(struct __sk_buff *skb, u32 offset, u32 size)
{
	u16 words[2] = {};
	if (size < 1 || size > 3)
		return 0;
	bpf_skb_load_bytes(skb, offset, words, size);
	u16 sum = fold((u64)words[0] + words[1]);
	/* Words begin at even bytes. A sum of what begins at an odd one has its bytes swapped. */
	return offset & 1 ? __builtin_bswap16(sum) : sum;
}

/* Why a packet is not forwarded. */
enum verdict { FORWARD, PASS, DROP };

/* lead says where a packet goes, and what it has before its data and behind it then. */
INLINE bool lead(const struct packet *p, struct route *r)
{
	r->out = r->in;
	r->peer = p->key.remote;
	r->peer_port = p->key.remote_port;
	if (r->in->flags & FLOW_HOP) {
		r->out = hop(r->in);
		r->peer = r->in->from;
		r->peer_port = r->in->from_port;
	}
	if (!r->out)
		return false;
	if (r->out->flags & FLOW_DATA) {
		r->new_head = is_ipv4(&r->peer) ? INDICATION4 : INDICATION6;
		r->new_padding = pad(r->size);
	} else if (r->out->channel) {
		r->new_head = CHANNEL;
	}
	return true;
}

/* match judges the flow of a packet. What it is of must be all right before anything else is asked. */
INLINE enum verdict match(const struct packet *p, struct route *r, struct totals *t, u64 now)
{
	/* A packet on its last hop may not go on, and one without a checksum cannot become an IPv6 one. */
	bool bare = !p->checksum && (p->v6 || r->in->flags & FLOW_V6 || r->in->flags & FLOW_HOP);
	r->padding = p->payload - r->head - r->size; /* what is sent by UDP may be padded or not (RFC 8656 §12.5) */
	if (!r->size || r->padding > 3 || p->hops <= 1 || bare) {
		t->untypical++;
		return PASS;
	}
	if (now >= r->in->expires || !lead(p, r) || now >= r->out->expires) {
		t->expired++;
		return PASS;
	}
	if (!confirm(r)) {
		t->unconfirmed++;
		return PASS;
	}
	return FORWARD;
}

/* admit reports whether the packet may leave: in one piece, as user space's sockets send it in fragments, and within its bandwidth. */
INLINE enum verdict admit(struct __sk_buff *skb, const struct route *r, struct totals *t, u64 now)
{
	u32 size = (r->out->flags & FLOW_V6 ? IPV6 : IPV4) + UDP + r->new_head + r->size + r->new_padding;
	u32 mtu = size; /* in: the size to judge instead of the packet's */
	if (!r->out->ifindex) {
		t->unrouted++;
		return PASS;
	}
	if (size > 0xffff || bpf_check_mtu(skb, r->out->ifindex, &mtu, 0, 0)) {
		t->too_long++;
		return PASS;
	}
	struct flow *over = flow_over(r->in, now, r->size) ? r->in : 0;
	if (!over && r->out != r->in && flow_over(r->out, now, r->size))
		over = r->out;
	if (over) {
		__sync_fetch_and_add(&over->dropped, 1);
		t->over_rate++;
		return DROP;
	}
	return FORWARD;
}

/* grows_by is what the packet gains or loses before its data. */
INLINE int grows_by(const struct route *r)
{
	return (int)r->new_head - (int)r->head;
}

/*
 * can_resize reports whether resize will succeed, but for want of memory. The kernel lets a packet grow at its end to what the
 * interface takes that it came by.
 */
INLINE bool can_resize(struct __sk_buff *skb, const struct route *r, bool partial)
{
	int by = partial ? grows_by(r) : 0, more = by + (int)r->new_padding - (int)r->padding;
	u32 mtu = 0; /* in: the packet's size is judged */
	if (by && r->size + r->new_padding > SCRATCH)
		return false;
	return more <= 0 || !bpf_check_mtu(skb, 0, &mtu, more, 0);
}

/* resize gives the packet the size that it leaves with. The headers are rewritten later. */
INLINE bool resize(struct __sk_buff *skb, const struct packet *p, const struct route *r, bool partial)
{
	bool v6 = r->out->flags & FLOW_V6;
	int by = grows_by(r);
	if (r->padding && bpf_skb_change_tail(skb, skb->len - r->padding, 0))
		return false;
	if (r->new_padding && bpf_skb_change_tail(skb, skb->len + r->new_padding, 0)) /* with zeroes */
		return false;
	if (v6 != p->v6 && bpf_skb_change_proto(skb, v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP), 0))
		return false;
	if (!by)
		return true;
	if (partial)
		return shift(skb, ETHERNET + (v6 ? IPV6 : IPV4) + UDP + r->head, r->size + r->new_padding, by);
	return !bpf_skb_adjust_room(skb, by, BPF_ADJ_ROOM_NET, 0);
}

/* make_head makes what is before the data: a Data indication or, which is its beginning, a ChannelData header. */
INLINE void make_head(struct indication *h, const struct route *r)
{
	const struct attribute data = {htons(ATTR_DATA), htons(r->size)};
	if (!(r->out->flags & FLOW_DATA)) {
		h->type = r->out->channel;
		h->size = r->out->channel ? data.size : 0;
		return;
	}
	h->type = htons(DATA);
	h->size = htons(r->new_head - STUN + r->size + r->new_padding);
	h->cookie = htonl(COOKIE);
	for (int i = 0; i < 3; i++)
		h->id[i] = bpf_get_prandom_u32();
	h->peer.type = htons(XOR_PEER_ADDRESS);
	h->port = r->peer_port ^ htons(COOKIE >> 16);
	if (r->new_head == INDICATION4) {
		h->peer.size = htons(8);
		h->family = htons(FAMILY4);
		h->v4.address = r->peer.word[3] ^ htonl(COOKIE);
		h->v4.data = data;
	} else {
		h->peer.size = htons(20);
		h->family = htons(FAMILY6);
		xor_address(&h->v6.address, &r->peer, h);
		h->v6.data = data;
	}
}

/* checksum is the one that the packet leaves with (RFC 1624), or as much of it as is_partial tells of. */
INLINE u16 checksum(const struct packet *p, const struct route *r, const struct udp *h, u16 head_sum, u16 padding, bool partial)
{
	struct udp was = {p->key.remote_port, p->key.local_port, htons(p->payload + UDP), 0};
	u64 sum = r->out->sum_out;
	if (partial)
		return fold(sum + htons(PROTO_UDP) + h->size);
	if (!p->checksum)
		return 0;
	sum += sum_udp(h) + minus(p->checksum) + minus(r->in->sum_in) + minus(fold(sum_udp(&was))) + minus(padding);
	sum += head_sum + minus(r->head_sum);
	u16 new = ~fold(sum);
	return new ? new : 0xffff;
}

/* label makes an IPv6 flow label of what a flow's packets have in common (RFC 6437 §3), which is not 0. */
INLINE u32 label(const struct flow *f)
{
	u32 x = ((u32)f->from_port << 16 | f->to_port) ^ f->sum_out;
	x *= 0x9e3779b1; /* spreads the bits */
	x ^= x >> 15;
	x *= 0x85ebca6b;
	x >>= 12;
	return x ? x : 1;
}

/* rewrite writes the headers: class and ECN stay, the hop limit loses one, as a router would have it (RFC 8656 §14). */
INLINE bool rewrite(struct __sk_buff *skb, const struct packet *p, const struct route *r, u16 padding, bool partial)
{
	struct { struct ipv4 ip; struct udp udp; struct indication head; } h4 = {};
	struct { struct ipv6 ip; struct udp udp; struct indication head; } h6 = {};
	const struct flow *out = r->out;
	struct indication head = {};
	make_head(&head, r);
	struct udp u = {out->from_port, out->to_port, htons(UDP + r->new_head + r->size + r->new_padding), 0};
	u.checksum = checksum(p, r, &u, fold(sum_indication(&head)), padding, partial);

	if (out->flags & FLOW_V6) {
		h6.ip.version_class_label = htonl(6u << 28 | (u32)p->class << 20 | label(out));
		h6.ip.payload = u.size;
		h6.ip.next = PROTO_UDP;
		h6.ip.hops = p->hops - 1;
		h6.ip.from = out->from;
		h6.ip.to = out->to;
		h6.udp = u;
		h6.head = head;
		return !bpf_skb_store_bytes(skb, ETHERNET, &h6, IPV6 + UDP + r->new_head, BPF_F_RECOMPUTE_CSUM);
	}
	h4.ip.version_size = 0x45;
	h4.ip.class = p->class;
	h4.ip.total = htons(IPV4 + ntohs(u.size));
	h4.ip.id = bpf_get_prandom_u32(); /* it may be fragmented on its way */
	h4.ip.hops = p->hops - 1;
	h4.ip.protocol = PROTO_UDP;
	h4.ip.from = out->from.word[3];
	h4.ip.to = out->to.word[3];
	h4.ip.checksum = ~fold(sum_ipv4(&h4.ip));
	h4.udp = u;
	h4.head = head;
	return !bpf_skb_store_bytes(skb, ETHERNET, &h4, IPV4 + UDP + r->new_head, BPF_F_RECOMPUTE_CSUM);
}

INLINE void account(struct route *r, struct totals *t)
{
	__sync_fetch_and_add(&r->in->packets, 1);
	__sync_fetch_and_add(&r->in->bytes, r->size);
	if (r->head) {
		t->packets_up++;
		t->bytes_up += r->size;
	}
	if (r->new_head) {
		t->packets_down++;
		t->bytes_down += r->size;
	}
	if (r->out != r->in) {
		__sync_fetch_and_add(&r->out->packets, 1);
		__sync_fetch_and_add(&r->out->bytes, r->size);
		t->hops++;
	}
}

/* mortal is set where the program may outlive the process that fills its maps. */
const volatile u32 mortal = 0;

INLINE bool alive(u64 now)
{
	u32 zero = 0;
	if (!mortal)
		return true;
	u64 *until = bpf_map_lookup_elem(&heartbeat, &zero);
	return until && now < *until;
}

/* forward is the program. */
SEC("tc")
int forward(struct __sk_buff *skb)
{
	struct packet p = {};
	struct route r = {};
	if (!parse(skb, &p))
		return TC_ACT_UNSPEC;
	r.in = find(skb, &p, &r);
	if (!r.in)
		return TC_ACT_UNSPEC;

	u32 zero = 0;
	u64 now = bpf_ktime_get_coarse_ns();
	struct totals *t = bpf_map_lookup_elem(&count, &zero);
	if (!t || !alive(now))
		return TC_ACT_UNSPEC;
	r.in->seen = now;
	enum verdict v = match(&p, &r, t, now);
	if (v == FORWARD)
		v = admit(skb, &r, t, now);
	if (v != FORWARD)
		return v == DROP ? TC_ACT_SHOT : TC_ACT_UNSPEC;

	u16 padding = padding_sum(skb, p.l4 + UDP + r.head + r.size, r.padding);
	bool partial = is_partial(skb, &p, r.in);
	if (!can_resize(skb, &r, partial)) {
		t->too_long++;
		return TC_ACT_UNSPEC;
	}
	if (!resize(skb, &p, &r, partial) || !rewrite(skb, &p, &r, padding, partial)) {
		t->failed++;
		return TC_ACT_SHOT;
	}
	account(&r, t);
	return bpf_redirect_neigh(r.out->ifindex, 0, 0, 0);
}
