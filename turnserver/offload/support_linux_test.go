//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const supportedEnv = "TURNPIKE_OFFLOAD_TEST_SUPPORTED"

// printSupported opens a path and says whether that works.
func printSupported() {
	p, err := Open(Config{})
	if err == nil {
		err = p.Close()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("supported")
}

// TestPrivileges opens a path as the user nobody: with the capabilities that the documents name, and with fewer.
func TestPrivileges(t *testing.T) {
	needKernel(t)
	// The user nobody cannot read the directory where go test has put this program.
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	dir, err := os.MkdirTemp("", "offload")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "program")
	must(t, os.WriteFile(program, self, 0o755))
	for _, tt := range []struct {
		name         string
		capabilities []uintptr
		want         string
	}{
		{"all", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON}, "supported"},
		{"none", nil, "needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON:"},
		{"BPF", []uintptr{unix.CAP_BPF}, "needs CAP_NET_ADMIN, CAP_PERFMON:"},
		{"NET_ADMIN", []uintptr{unix.CAP_NET_ADMIN}, "needs CAP_BPF, CAP_PERFMON:"},
		{"no PERFMON", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN}, "needs CAP_PERFMON:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(program)
			cmd.Dir = "/"
			cmd.Env = []string{supportedEnv + "=1"}
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: tt.capabilities, Cloneflags: syscall.CLONE_NEWNET,
			}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %q (%v), want %q", out, err, tt.want)
			}
		})
	}
}

// TestExplain: with all capabilities there are other things to say.
func TestExplain(t *testing.T) {
	needKernel(t)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unix.EPERM, "seccomp"},
		{unix.ENOSYS, "no bpf(2)"},
		{unix.ENOMEM, "LimitMEMLOCK"},
		{&ebpf.VerifierError{Cause: unix.EACCES}, "refuses the program"},
		{errors.New("other"), "other"},
	} {
		if got := explain(fmt.Errorf("load: %w", tt.err)).Error(); !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q does not say %q", tt.err, got, tt.want)
		}
	}
}

// TestVerifier bounds how many instructions the verifier looks at. Kernels give up at a million, which older kernels
// reach sooner than this one. The start of the server also has to wait for it.
func TestVerifier(t *testing.T) {
	needKernel(t)
	spec, err := loadForward()
	must(t, err)
	var objects forwardObjects
	must(t, spec.LoadAndAssign(&objects, &ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}}))
	defer objects.Close()
	log := objects.Forward.VerifierLog
	t.Log(log)
	var processed int
	_, stats, _ := strings.Cut(log, "processed ")
	if _, err := fmt.Sscanf(stats, "%d insns", &processed); err != nil || processed > 50_000 {
		t.Errorf("the verifier looked at %d instructions, %v: %s", processed, err, log)
	}
}
