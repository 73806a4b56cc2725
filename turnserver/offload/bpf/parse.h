/*
 * What a packet is: its headers, the flow that it is of, and where in it the data is. Nothing is changed here.
 */
#pragma once

#include "maps.h"

/* The most that there is behind the data of what is forwarded. */
enum { MOST_BEHIND = 3 + FINGERPRINTED };

/* packet is what parse learns. */
struct packet {
	struct key key;
	u32 l4;      /* where the UDP header is */
	u32 payload; /* size of what follows it; of several packets in one, that of the first */
	bool v6;
	u8 class; /* DSCP and ECN */
	u8 hops;
	u16 checksum;
	struct channel first; /* what follows the UDP header: a ChannelData header, if it is one */
};

/* route is how a packet goes. */
struct route {
	u32 size;              /* of the data */
	u32 head, tail;        /* what is before it and behind it, as it comes: header, padding, FINGERPRINT */
	u32 new_head, padding; /* and as it leaves */
	u16 head_sum;          /* of what is before it as it comes */
	be16 peer_port;
	struct address peer; /* whom the data is from, where Data indications are to tell */
};

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

INLINE bool parse_udp(const struct __sk_buff *skb, struct packet *p, const struct udp *h, u32 size)
{
	const struct channel *channel = (const void *)(h + 1);
	if (ntohs(h->size) != size)
		return false;
	p->payload = skb->gso_size ? skb->gso_size : size - UDP;
	p->checksum = h->checksum;
	p->first = *channel;
	p->key.remote_port = h->from;
	p->key.local_port = h->to;
	return true;
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
	return parse_udp(skb, p, data + ETHERNET + IPV4, skb->len - ETHERNET - IPV4);
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
	if (is_ipv4(&h->from) || is_ipv4(&h->to)) /* it would have the key of an IPv4 packet */
		return false;
	p->key.remote = h->from;
	p->key.local = h->to;
	p->l4 = ETHERNET + IPV6;
	p->v6 = true;
	p->class = first >> 20;
	p->hops = h->hops;
	return parse_udp(skb, p, data + ETHERNET + IPV6, skb->len - ETHERNET - IPV6);
}

INLINE bool parse(struct __sk_buff *skb, struct packet *p)
{
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return false;
	if (skb->protocol == htons(ETH_P_IP))
		return parse_ipv4(skb, p);
	if (skb->protocol == htons(ETH_P_IPV6))
		return parse_ipv6(skb, p);
	return false;
}

/* ends_usually reports whether what is behind the data of an indication, at at, is its padding and perhaps a FINGERPRINT. */
INLINE bool ends_usually(struct __sk_buff *skb, const struct route *r, u32 at)
{
	const u32 padding = pad(r->size);
	struct attribute last;
	if (r->tail == padding)
		return true;
	if (r->tail != padding + FINGERPRINTED || bpf_skb_load_bytes(skb, at + padding, &last, ATTRIBUTE))
		return false;
	return last.type == htons(FINGERPRINT) && last.size == htons(FINGERPRINTED - ATTRIBUTE);
}

/*
 * parse_send reads of which flow a Send indication is, if its layout is the usual one. What has other attributes, or another length than
 * it says, is for user space to judge.
 */
JUDGED_ALONE int parse_send(struct __sk_buff *skb, const struct packet *p, struct route *r, struct send_key *key)
{
	struct indication h = {};
	struct attribute data;
	if (!p || !r || !key)
		return false;
	const u32 at = p->l4 + UDP;
	if (p->payload < INDICATION4 || bpf_skb_load_bytes(skb, at, &h, INDICATION4))
		return false;
	if (h.cookie != htonl(COOKIE) || ntohs(h.size) != p->payload - STUN || h.peer.type != htons(XOR_PEER_ADDRESS))
		return false;
	if (h.family == htons(FAMILY4) && h.peer.size == htons(8)) {
		r->head = INDICATION4;
		map_ipv4(&key->peer, h.v4.address ^ htonl(COOKIE));
		data = h.v4.data;
	} else if (h.family == htons(FAMILY6) && h.peer.size == htons(20)) {
		if (p->payload < INDICATION6 || bpf_skb_load_bytes(skb, at, &h, INDICATION6))
			return false;
		r->head = INDICATION6;
		xor_address(&key->peer, &h.v6.address, &h);
		data = h.v6.data;
	} else {
		return false;
	}
	r->size = ntohs(data.size);
	r->tail = p->payload - r->head - r->size;
	if (data.type != htons(ATTR_DATA) || !ends_usually(skb, r, at + r->head + r->size))
		return false;
	key->from = p->key;
	key->peer_port = h.port ^ htons(COOKIE >> 16);
	r->head_sum = fold(sum_indication(&h));
	return true;
}

/* find finds the flow of a packet, and what it has before its data. */
INLINE struct flow *find(struct __sk_buff *skb, struct packet *p, struct route *r)
{
	struct flow *f = 0;
	if ((p->first.number & htons(0xc000)) == htons(0x4000)) { /* also the numbers that only RFC 5766 has */
		p->key.channel = p->first.number;
		f = bpf_map_lookup_elem(&flows, &p->key);
		p->key.channel = 0;
		r->head = CHANNEL;
		r->size = ntohs(p->first.size);
		r->tail = p->payload - CHANNEL - r->size;
		r->head_sum = fold(sum_channel(&p->first));
	} else if (p->first.number == htons(SEND)) {
		struct send_key send = {};
		if (parse_send(skb, p, r, &send))
			f = bpf_map_lookup_elem(&sends, &send);
	}
	if (f)
		return f;
	r->head = r->tail = r->head_sum = 0;
	r->size = p->payload;
	return bpf_map_lookup_elem(&flows, &p->key);
}
