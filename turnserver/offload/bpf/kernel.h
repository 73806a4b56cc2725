/*
 * The part of the kernel's interface that forward.c uses (linux/bpf.h, bpf-helpers(7)), so that building takes clang and no
 * headers. All of it is fixed for good: kernels only add to it. Everything here is in Linux 5.15.
 */
#pragma once

typedef _Bool bool;
enum { false, true };
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u16 be16; /* in the network's byte order */
typedef u32 be32;

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "offload_linux.go builds for little-endian machines alone"
#endif
#define htons(x) ((be16)__builtin_bswap16(x))
#define ntohs(x) ((u16)__builtin_bswap16(x))
#define htonl(x) ((be32)__builtin_bswap32(x))

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/*
 * A function that the verifier judges by itself, for whatever may be passed to it, and not once more on every path to it: so paths do
 * not multiply. It has five arguments at most, the numbers that they point to may be any, and pointers must be tested.
 */
#define JUDGED_ALONE __attribute__((noinline))

/*
 * within reports whether size is from 1 to most. The compiler would make one comparison of the two, of another number that depends on
 * this one, from which the verifier learns nothing.
 */
#define within(size, most) (size >= 1 && ({ asm volatile("" : "+r"(size)); size <= most; }))

#define LIKELY(x) __builtin_expect(!!(x), 1)

/* How a map's definition is written in BTF. */
#define MAP_UINT(name, value) int(*name)[value]
#define MAP_TYPE(name, value) typeof(value) *name

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
};
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };

/* What a packet is to tc: the verifier turns these into reads of the kernel's own structure. */
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol; /* be16 */
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	u32 napi_id;
	u32 family;
	u32 remote_ip4;
	u32 local_ip4;
	u32 remote_ip6[4];
	u32 local_ip6[4];
	u32 remote_port;
	u32 local_port;
	u32 data_meta;
	u64 flow_keys;
	u64 tstamp;
	u32 wire_len;
	u32 gso_segs;
	u64 sk;
	u32 gso_size;
};

enum { PACKET_HOST = 0 }; /* pkt_type: sent to this host, by its hardware address */

/* Verdicts. */
enum {
	TC_ACT_UNSPEC = -1, /* go on, to other programs and then to the IP stack */
	TC_ACT_SHOT = 2,    /* drop */
};

enum { BPF_F_RECOMPUTE_CSUM = 1 };
enum { BPF_ADJ_ROOM_NET = 0 };

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static long (*const bpf_skb_store_bytes)(struct __sk_buff *, u32 offset, const void *from, u32 len, u64 flags) = (void *)9;
static long (*const bpf_l4_csum_replace)(struct __sk_buff *, u32 offset, u64 from, u64 to, u64 flags) = (void *)11;
static long (*const bpf_skb_load_bytes)(const struct __sk_buff *, u32 offset, void *to, u32 len) = (void *)26;
static long (*const bpf_skb_change_proto)(struct __sk_buff *, be16 proto, u64 flags) = (void *)31;
static long (*const bpf_skb_change_tail)(struct __sk_buff *, u32 len, u64 flags) = (void *)38;
static long (*const bpf_skb_pull_data)(struct __sk_buff *, u32 len) = (void *)39;
static long (*const bpf_skb_adjust_room)(struct __sk_buff *, int len_diff, u32 mode, u64 flags) = (void *)50;
static long (*const bpf_redirect_neigh)(u32 ifindex, void *params, int plen, u64 flags) = (void *)152;
static u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)160;
static long (*const bpf_check_mtu)(void *ctx, u32 ifindex, u32 *mtu_len, int len_diff, u64 flags) = (void *)163;
