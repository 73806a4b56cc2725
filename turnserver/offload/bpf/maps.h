/*
 * What user space tells the programs, and what they tell user space. doc.go says who writes what.
 */
#pragma once

#include "kernel.h"
#include "wire.h"

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
	u64 aggregated;
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
