/*
 * forward relays the packets of established TURN flows at the ingress of an interface, before the IP stack sees them
 * (RFC 8656 §12). What user space tells it is in the maps; see doc.go for who writes what.
 *
 *	parse      is this a plain UDP datagram (parse.h)?
 *	find       which flow is it of? Its addresses say, and the header that it may have before its data
 *	match      is the flow alive, and known to pass here unchanged by any NAT?
 *	admit      does it fit the next link, and its bandwidth?
 *	change     the packet that leaves: resize makes room for its headers,
 *	           rewrite writes them, with correct checksums
 *
 * Until admit is done nothing has been changed, and whatever does not fit goes up to the sockets, which know all cases. Of the
 * kernel's versions, 5.15 and later have all that is used here.
 */
#include "parse.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

/*
 * confirm reports whether packets of the other direction came by here with the addresses that user space knows. If they do not,
 * there is NAT on this very host, between here and the sockets, and what the sockets send must go through it.
 */
JUDGED_ALONE int confirm(struct flow *f, const struct route *r)
{
	struct flow *other;
	if (!f || !r)
		return false;
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
	if (now == p->checksum)
		return true;
	bpf_skb_store_bytes(skb, offset, &p->checksum, sizeof p->checksum, 0); /* the packet may go up yet */
	return false;
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
	if (!s || !within(size, SCRATCH))
		return false;
	if (bpf_skb_load_bytes(skb, data, s->bytes, size))
		return false;
	if (bpf_skb_change_tail(skb, skb->len + by, 0))
		return false;
	return !bpf_skb_store_bytes(skb, data + by, s->bytes, size, 0);
}

/* tail_sum is the sum of the bytes behind the data. */
INLINE u16 tail_sum(struct __sk_buff *skb, u32 offset, u32 size)
{
	u32 words[3] = {};
	if (!within(size, MOST_BEHIND))
		return 0;
	bpf_skb_load_bytes(skb, offset, words, size);
	u16 sum = fold((u64)words[0] + words[1] + words[2]);
	/* Words begin at even bytes. A sum of what begins at an odd one has its bytes swapped. */
	return offset & 1 ? __builtin_bswap16(sum) : sum;
}

/* Why a packet is not forwarded. */
enum verdict { FORWARD, PASS, DROP };

/* lead says where a packet goes, and what it has before its data and behind it then. */
INLINE struct flow *lead(const struct packet *p, struct route *r, struct flow *in)
{
	struct flow *out = in;
	r->peer = p->key.remote;
	r->peer_port = p->key.remote_port;
	if (in->flags & FLOW_HOP) {
		out = hop(in);
		r->peer = in->from;
		r->peer_port = in->from_port;
	}
	if (!out)
		return 0;
	if (out->flags & FLOW_DATA) {
		r->new_head = is_ipv4(&r->peer) ? INDICATION4 : INDICATION6;
		r->padding = pad(r->size);
	} else if (out->channel) {
		r->new_head = CHANNEL;
	}
	return out;
}

/* match is the flow that a packet leaves in, 0 if it must not. What it is of must be all right before anything else is asked. */
INLINE struct flow *match(const struct packet *p, struct route *r, struct flow *in, struct totals *t, u64 now)
{
	/* A packet on its last hop may not go on, and one without a checksum cannot become an IPv6 one. */
	bool bare = !p->checksum && (p->v6 || in->flags & FLOW_V6 || in->flags & FLOW_HOP);
	/* ChannelData that is sent by UDP may be padded or not (RFC 8656 §12.5). */
	bool long_tail = r->tail > (r->head > CHANNEL ? MOST_BEHIND : 3);
	struct flow *out = 0;
	if (!r->size || long_tail || p->hops <= 1 || bare) {
		t->untypical++;
		return 0;
	}
	if (now < in->expires)
		out = lead(p, r, in);
	if (!out || now >= out->expires) {
		t->expired++;
		return 0;
	}
	if (!out->confirmed && !confirm(out, r)) {
		t->unconfirmed++;
		return 0;
	}
	return out;
}

/* admit reports whether the packet may leave: in one piece, as user space's sockets send it in fragments, and within its bandwidth. */
INLINE enum verdict admit(struct __sk_buff *skb, const struct route *r, struct flow *in, struct flow *out, struct totals *t, u64 now)
{
	u32 size = (out->flags & FLOW_V6 ? IPV6 : IPV4) + UDP + r->new_head + r->size + r->padding;
	u32 mtu = size; /* in: the size to judge instead of the packet's */
	if (!out->ifindex) {
		t->unrouted++;
		return PASS;
	}
	if (size > 0xffff || bpf_check_mtu(skb, out->ifindex, &mtu, 0, 0)) {
		t->too_long++;
		return PASS;
	}
	struct flow *over = flow_over(in, now, r->size) ? in : 0;
	if (!over && out != in && flow_over(out, now, r->size))
		over = out;
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
INLINE bool can_resize(struct __sk_buff *skb, const struct packet *p, const struct route *r, bool v6, bool partial)
{
	int by = grows_by(r), more = (int)r->padding - (int)r->tail;
	u32 mtu = 0; /* in: the packet's size is judged */
	if (partial && by) {
		if (r->size + r->padding > SCRATCH)
			return false;
		more += by + (v6 ? IPV6 : IPV4) - (p->v6 ? IPV6 : IPV4);
	}
	return more <= 0 || !bpf_check_mtu(skb, 0, &mtu, more, 0);
}

/* resize gives the packet the size that it leaves with. The headers are rewritten later. */
INLINE bool resize(struct __sk_buff *skb, const struct packet *p, const struct route *r, bool v6, bool partial)
{
	int by = grows_by(r);
	if (r->tail && bpf_skb_change_tail(skb, skb->len - r->tail, 0))
		return false;
	if (r->padding && bpf_skb_change_tail(skb, skb->len + r->padding, 0)) /* with zeroes */
		return false;
	if (v6 != p->v6 && bpf_skb_change_proto(skb, v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP), 0))
		return false;
	if (!by)
		return true;
	if (partial)
		return shift(skb, ETHERNET + (v6 ? IPV6 : IPV4) + UDP + r->head, r->size + r->padding, by);
	return !bpf_skb_adjust_room(skb, by, BPF_ADJ_ROOM_NET, 0);
}

/* make_head makes what is before the data: a Data indication or, which is its beginning, a ChannelData header. */
INLINE void make_head(struct indication *h, const struct route *r, const struct flow *out)
{
	const struct attribute data = {htons(ATTR_DATA), htons(r->size)};
	if (!(out->flags & FLOW_DATA)) {
		h->type = out->channel;
		h->size = out->channel ? data.size : 0;
		return;
	}
	h->type = htons(DATA);
	h->size = htons(r->new_head - STUN + r->size + r->padding);
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

/* checksum is the one that the packet leaves with (RFC 1624), or as much of it as is_partial tells of; added is of heads that change. */
INLINE u16 checksum(const struct packet *p, const struct udp *h, const struct flow *in, const struct flow *out, u64 added, bool partial)
{
	struct udp was = {p->key.remote_port, p->key.local_port, htons(p->payload + UDP), 0};
	u64 sum = out->sum_out;
	if (partial)
		return fold(sum + htons(PROTO_UDP) + h->size);
	if (!p->checksum)
		return 0;
	sum += sum_udp(h) + minus(p->checksum) + minus(in->sum_in) + minus(fold(sum_udp(&was)));
	u16 new = ~fold(sum + added);
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

/* out_headers are those that a packet leaves with. An IPv4 header begins later, where it ends before the same UDP header. */
struct out_headers {
	union {
		struct ipv6 v6;
		struct {
			u8 none[IPV6 - IPV4];
			struct ipv4 v4;
		};
	};
	struct udp udp;
	struct indication head; /* what is before the data */
};

/* rewrite writes the headers: class and ECN stay, the hop limit loses one, as a router would have it (RFC 8656 §14). */
INLINE bool rewrite(struct __sk_buff *skb, const struct packet *p, const struct flow *out, struct out_headers *h, u32 size)
{
	if (!within(size, UDP + INDICATION6))
		return false;
	if (out->flags & FLOW_V6) {
		h->v6.version_class_label = htonl(6u << 28 | (u32)p->class << 20 | label(out));
		h->v6.payload = h->udp.size;
		h->v6.next = PROTO_UDP;
		h->v6.hops = p->hops - 1;
		h->v6.from = out->from;
		h->v6.to = out->to;
		return !bpf_skb_store_bytes(skb, ETHERNET, &h->v6, IPV6 + size, BPF_F_RECOMPUTE_CSUM);
	}
	h->v4.version_size = 0x45;
	h->v4.class = p->class;
	h->v4.total = htons(IPV4 + ntohs(h->udp.size));
	h->v4.id = bpf_get_prandom_u32(); /* it may be fragmented on its way */
	h->v4.hops = p->hops - 1;
	h->v4.protocol = PROTO_UDP;
	h->v4.from = out->from.word[3];
	h->v4.to = out->to.word[3];
	h->v4.checksum = ~fold(sum_ipv4(&h->v4));
	return !bpf_skb_store_bytes(skb, ETHERNET, &h->v4, IPV4 + size, BPF_F_RECOMPUTE_CSUM);
}

/* change makes the packet the one that leaves: PASS if that cannot be, and nothing was changed, DROP if it failed half-way. */
JUDGED_ALONE int change(struct __sk_buff *skb, const struct packet *p, const struct route *r, const struct flow *in, const struct flow *out)
{
	struct out_headers h = {};
	if (!p || !r || !in || !out)
		return PASS;
	bool v6 = out->flags & FLOW_V6, partial = is_partial(skb, p, in);
	u16 behind = tail_sum(skb, p->l4 + UDP + r->head + r->size, r->tail);
	if (!can_resize(skb, p, r, v6, partial))
		return PASS;
	if (!resize(skb, p, r, v6, partial))
		return DROP;

	make_head(&h.head, r, out);
	h.udp.from = out->from_port;
	h.udp.to = out->to_port;
	h.udp.size = htons(UDP + r->new_head + r->size + r->padding);
	u64 added = fold(sum_indication(&h.head)) + minus(r->head_sum) + minus(behind);
	h.udp.checksum = checksum(p, &h.udp, in, out, added, partial);
	return rewrite(skb, p, out, &h, UDP + r->new_head) ? FORWARD : DROP;
}

INLINE void account(const struct route *r, struct flow *in, struct flow *out, struct totals *t)
{
	__sync_fetch_and_add(&in->packets, 1);
	__sync_fetch_and_add(&in->bytes, r->size);
	if (r->head) {
		t->packets_up++;
		t->bytes_up += r->size;
	}
	if (r->new_head) {
		t->packets_down++;
		t->bytes_down += r->size;
	}
	if (out != in) {
		__sync_fetch_and_add(&out->packets, 1);
		__sync_fetch_and_add(&out->bytes, r->size);
		t->hops++;
	}
}

/* forward is the program. */
SEC("tc")
int forward(struct __sk_buff *skb)
{
	struct packet p = {};
	struct route r = {};
	if (!parse(skb, &p))
		return TC_ACT_UNSPEC;
	struct flow *in = find(skb, &p, &r);
	if (!in)
		return TC_ACT_UNSPEC;

	u32 zero = 0;
	u64 now = bpf_ktime_get_coarse_ns();
	struct totals *t = bpf_map_lookup_elem(&count, &zero);
	if (!t || !alive(now))
		return TC_ACT_UNSPEC;
	in->seen = now;
	/* It stands for several, each with a header of its own before its data. The IP stack cuts it up. */
	if (skb->gso_size) {
		t->aggregated += skb->gso_segs;
		return TC_ACT_UNSPEC;
	}
	struct flow *out = match(&p, &r, in, t, now);
	if (!out)
		return TC_ACT_UNSPEC;
	enum verdict v = admit(skb, &r, in, out, t, now);
	if (v != FORWARD)
		return v == DROP ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	switch (change(skb, &p, &r, in, out)) {
	case PASS:
		t->too_long++;
		return TC_ACT_UNSPEC;
	case DROP:
		t->failed++;
		return TC_ACT_SHOT;
	}
	account(&r, in, out, t);
	return bpf_redirect_neigh(out->ifindex, 0, 0, 0);
}
