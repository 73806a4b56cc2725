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

/* or a Send or Data indication (RFC 8656 §11) whose attributes are the peer and the data, as clients write it. */
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

	SEND = 0x0016,
	DATA = 0x0017,
	COOKIE = 0x2112a442,
	XOR_PEER_ADDRESS = 0x0012,
	ATTR_DATA = 0x0013,
	FAMILY4 = 1,
	FAMILY6 = 2,
};
