/*
 * What packets look like, each field in the network's byte order. Packets begin with an Ethernet header, also on the loopback
 * interface.
 */
#pragma once

#include "kernel.h"

enum {
	ETHERNET = 14,
	IPV4 = 20,
	IPV6 = 40,
	UDP = 8,

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

/* What is before the data between client and server: a channel number and the data's size (RFC 8656 §12.4), */
struct channel {
	be16 number, size;
};

/* or a Send or Data indication (RFC 8656 §11) whose attributes are the peer, the data and nothing else but a FINGERPRINT. */
struct attribute {
	be16 type, size;
};

struct indication {
	be16 type, size; /* the size is of all behind the id (RFC 8489 §5) */
	be32 cookie, id[3];
	struct attribute peer;
	be16 family, port; /* the port and the address are XORed (RFC 8489 §14.2) */
	union {
		struct {
			be32 address;
			struct attribute data;
		} v4;
		struct {
			struct address address;
			struct attribute data;
		} v6;
	};
};

enum {
	CHANNEL = 4,
	STUN = 20,
	INDICATION4 = 36, /* the one about a peer with an IPv4 address, which ends early */
	INDICATION6 = 48,
	ATTRIBUTE = 4,
	FINGERPRINTED = 8, /* what FINGERPRINT takes behind the data */

	SEND = 0x0016,
	DATA = 0x0017,
	COOKIE = 0x2112a442,
	XOR_PEER_ADDRESS = 0x0012,
	ATTR_DATA = 0x0013,
	FINGERPRINT = 0x8028,
	FAMILY4 = 1,
	FAMILY6 = 2,
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

INLINE void map_ipv4(struct address *to, be32 address)
{
	to->word[0] = to->word[1] = 0;
	to->word[2] = htonl(0xffff);
	to->word[3] = address;
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
