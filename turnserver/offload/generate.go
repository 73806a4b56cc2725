package offload

// The programs are built by Debian 12's clang, so that everybody who builds them again gets the same bytes. One object
// serves every machine: bytecode differs only in its byte order. amd64 and arm64, where the server has loops, are
// little-endian.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -tags linux -go-package offload forward bpf/forward.c -- -O2 -mcpu=v3 -Wall -Wextra -Werror
