/*
 * forward relays the packets of established TURN flows at the ingress of an interface, before the IP stack sees them
 * (RFC 8656 §12). What user space tells it is in the maps; see doc.go for who writes what.
 *
 *	parse      is this a plain UDP datagram? Its addresses, and what could be a ChannelData header, make the key
 *	match      which flow is it of, alive and known to pass here unchanged by any NAT?
 *	admit      does it fit the next link, and its bandwidth?
 *	resize     room for the headers it leaves with
 *	rewrite    those headers, with correct checksums
 *
 * Until admit is done nothing has been changed, and whatever does not fit goes up to the sockets, which know all cases. Of the
 * kernel's versions, 5.15 and later have all that is used here.
 */
#include "kernel.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

/* Wire formats. Packets begin with an Ethernet header, also on the loopback interface. */
enum {
	ETHERNET = 14,
	IPV4 = 20,
	IPV6 = 40,
	UDP = 8,
	CHANNEL = 4, /* channel number, length of the data (RFC 8656 §12.4) */

	ETH_P_IP = 0x0800,
	ETH_P_IPV6 = 0x86dd,
	PROTO_UDP = 17,
};

struct ipv4 {
	u8 version_size, class;
	be16 total, id, fragment;
	u8 hops, protocol;
	u16 checksum;
	be32 from, to;
};

struct address {
	be32 word[4]; /* IPv4 addresses in their IPv4-mapped form */
};

struct ipv6 {
	be32 version_class_label;
	be16 payload;
	u8 next, hops;
	struct address from, to;
};

struct udp {
	be16 from, to, size;
	u16 checksum;
};

struct channel {
	be16 number, size;
};

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

/*
 * flow is what becomes of a packet: it leaves as one from `from` to `to`, with a ChannelData header if there is a channel. The
 * same fields are the key of the flow's other direction, whose packets come from `to`.
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
	struct channel channel; /* what would be a ChannelData header */
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
	p->channel = *channel;
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

/*
 * confirm reports whether packets of the flow's other direction came by here with the addresses that user space knows. If they
 * do not, there is NAT on this very host, between here and the sockets, and what the sockets send must go through it.
 */
INLINE bool confirm(struct flow *f)
{
	if (LIKELY(f->confirmed))
		return true;
	struct key back = {
		.remote = f->to, .local = f->from,
		.remote_port = f->to_port, .local_port = f->from_port,
		.channel = f->channel,
	};
	struct flow *other = bpf_map_lookup_elem(&flows, &back);
	if (!other || !other->seen)
		return false;
	f->confirmed = 1;
	return true;
}

/* next is the flow that a packet of f goes on in, if f leads to another relayed address of this node. */
INLINE struct flow *next(const struct flow *f)
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
 * shift moves size bytes of data by as many as the ChannelData header takes, by copying. Where the packet's start is moved
 * instead, a checksum that is left to the network card would be put into the wrong place, for the kernel notes that place
 * and no program can change it.
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

INLINE u64 sum_udp(const struct udp *h)
{
	return (u64)h->from + h->to + h->size + h->size; /* the size is in the pseudo header, too */
}

INLINE u64 sum_channel(const struct channel *h)
{
	return (u64)h->number + h->size;
}

/* Why a packet is not forwarded. */
enum verdict { FORWARD, PASS, DROP };

/* route is how a packet goes. */
struct route {
	struct flow *in, *out; /* the same but in a hop */
	u32 size;              /* of the data */
	u32 padding;           /* behind it */
	bool up;               /* from a client */
};

/* match finds the flow of a packet. What it is of must be all right before anything else is asked. */
INLINE enum verdict match(struct packet *p, struct route *r, struct totals *t, u64 now)
{
	r->size = p->payload;
	r->padding = 0;
	if (r->up) { /* what is sent by UDP may be padded or not (RFC 8656 §12.5) */
		r->size = ntohs(p->channel.size);
		r->padding = p->payload - CHANNEL - r->size;
	}
	/* A packet on its last hop may not go on, and one without a checksum cannot become an IPv6 one. */
	bool bare = !p->checksum && (p->v6 || r->in->flags & FLOW_V6 || r->in->flags & FLOW_HOP);
	if (!r->size || r->padding > 3 || p->hops <= 1 || bare) {
		t->untypical++;
		return PASS;
	}
	if (now >= r->in->expires) {
		t->expired++;
		return PASS;
	}
	if (r->in->flags & FLOW_HOP) {
		r->out = next(r->in);
		if (!r->out || now >= r->out->expires) {
			t->expired++;
			return PASS;
		}
	}
	if (!confirm(r->out)) {
		t->unconfirmed++;
		return PASS;
	}
	return FORWARD;
}

/* admit reports whether the packet may leave: in one piece, as user space's sockets send it in fragments, and within its bandwidth. */
INLINE enum verdict admit(struct __sk_buff *skb, const struct route *r, struct totals *t, u64 now)
{
	u32 size = (r->out->flags & FLOW_V6 ? IPV6 : IPV4) + UDP + (r->out->channel ? CHANNEL : 0) + r->size;
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

/* grows_by is what the packet gains or loses behind its UDP header. */
INLINE int grows_by(const struct route *r)
{
	return (r->out->channel ? CHANNEL : 0) - (r->up ? CHANNEL : 0);
}

/* resize gives the packet the size that it leaves with. The headers are rewritten later. */
INLINE bool resize(struct __sk_buff *skb, const struct packet *p, const struct route *r, bool partial)
{
	bool v6 = r->out->flags & FLOW_V6;
	int by = grows_by(r);
	if (r->padding && bpf_skb_change_tail(skb, skb->len - r->padding, 0))
		return false;
	if (v6 != p->v6 && bpf_skb_change_proto(skb, v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP), 0))
		return false;
	if (!by)
		return true;
	if (partial)
		return shift(skb, ETHERNET + (v6 ? IPV6 : IPV4) + UDP + (r->up ? CHANNEL : 0), r->size, by);
	return !bpf_skb_adjust_room(skb, by, BPF_ADJ_ROOM_NET, 0);
}

/* checksum is the one that the packet leaves with (RFC 1624), or as much of it as is_partial tells of. */
INLINE u16 checksum(const struct packet *p, const struct route *r, const struct udp *h, const struct channel *c, u16 padding, bool partial)
{
	struct udp was = {p->key.remote_port, p->key.local_port, htons(p->payload + UDP), 0};
	u64 sum = r->out->sum_out;
	if (partial)
		return fold(sum + htons(PROTO_UDP) + h->size);
	if (!p->checksum)
		return 0;
	sum += sum_udp(h) + minus(p->checksum) + minus(r->in->sum_in) + minus(fold(sum_udp(&was))) + minus(padding);
	if (r->up)
		sum += minus(fold(sum_channel(&p->channel)));
	if (r->out->channel)
		sum += sum_channel(c);
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
	struct { struct ipv4 ip; struct udp udp; struct channel channel; } h4 = {};
	struct { struct ipv6 ip; struct udp udp; struct channel channel; } h6 = {};
	const struct flow *out = r->out;
	u32 behind = UDP + (out->channel ? CHANNEL : 0);
	struct channel c = {out->channel, htons(r->size)};
	struct udp u = {out->from_port, out->to_port, htons(behind + r->size), 0};
	u.checksum = checksum(p, r, &u, &c, padding, partial);

	if (out->flags & FLOW_V6) {
		h6.ip.version_class_label = htonl(6u << 28 | (u32)p->class << 20 | label(out));
		h6.ip.payload = u.size;
		h6.ip.next = PROTO_UDP;
		h6.ip.hops = p->hops - 1;
		h6.ip.from = out->from;
		h6.ip.to = out->to;
		h6.udp = u;
		h6.channel = c;
		return !bpf_skb_store_bytes(skb, ETHERNET, &h6, IPV6 + behind, BPF_F_RECOMPUTE_CSUM);
	}
	h4.ip.version_size = 0x45;
	h4.ip.class = p->class;
	h4.ip.total = htons(IPV4 + behind + r->size);
	h4.ip.id = bpf_get_prandom_u32(); /* it may be fragmented on its way */
	h4.ip.hops = p->hops - 1;
	h4.ip.protocol = PROTO_UDP;
	h4.ip.from = out->from.word[3];
	h4.ip.to = out->to.word[3];
	h4.ip.checksum = ~fold(sum_ipv4(&h4.ip));
	h4.udp = u;
	h4.channel = c;
	return !bpf_skb_store_bytes(skb, ETHERNET, &h4, IPV4 + behind, BPF_F_RECOMPUTE_CSUM);
}

INLINE void account(struct route *r, struct totals *t)
{
	__sync_fetch_and_add(&r->in->packets, 1);
	__sync_fetch_and_add(&r->in->bytes, r->size);
	if (r->up) {
		t->packets_up++;
		t->bytes_up += r->size;
	}
	if (r->out->channel) {
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
	if ((p.channel.number & htons(0xf000)) == htons(0x4000)) {
		p.key.channel = p.channel.number;
		r.in = bpf_map_lookup_elem(&flows, &p.key);
		r.up = r.in;
		p.key.channel = 0;
	}
	if (!r.in)
		r.in = bpf_map_lookup_elem(&flows, &p.key);
	if (!r.in)
		return TC_ACT_UNSPEC;
	r.out = r.in;

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

	u16 padding = padding_sum(skb, p.l4 + UDP + CHANNEL + r.size, r.padding);
	bool partial = is_partial(skb, &p, r.in);
	if (partial && grows_by(&r) && r.size > SCRATCH) {
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
