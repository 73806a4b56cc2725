package filetransfer

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxPart  = 255 // bytes of a name, in all file systems that matter
	maxPath  = 4096
	maxDepth = 64

	partPrefix = "."
	partSuffix = ".turnpike-part"
)

// checkPath returns why no receiver takes a path, or "".
func checkPath(p string) string {
	switch {
	case p == "":
		return "it is empty"
	case len(p) > maxPath:
		return fmt.Sprintf("it has more than %d bytes", maxPath)
	case !utf8.ValidString(p):
		return "it is not UTF-8"
	case strings.HasPrefix(p, "/"):
		return "it is absolute"
	case strings.Count(p, "/") >= maxDepth:
		return fmt.Sprintf("it is more than %d folders deep", maxDepth)
	}
	for part := range strings.SplitSeq(p, "/") {
		if why := checkPart(part); why != "" {
			return why
		}
	}
	return ""
}

func checkPart(part string) string {
	switch {
	case part == "":
		return "a part of it is empty"
	case part == "." || part == "..":
		return "it climbs out of its folder"
	case len(part) > maxPart:
		return fmt.Sprintf("a part of it has more than %d bytes", maxPart)
	case strings.ContainsFunc(part, unicode.IsControl):
		return "it has a control character"
	case strings.Contains(part, `\`):
		return `it has a \`
	case isPart(part):
		return "it is the name of an unfinished file"
	}
	return ""
}

// isPart reports whether a name is that of a part file. Case does not matter, because it does not in some folders.
func isPart(name string) bool {
	return strings.HasPrefix(name, partPrefix) && len(name) >= len(partSuffix) && strings.EqualFold(name[len(name)-len(partSuffix):], partSuffix)
}

// windowsRefuses returns why Windows cannot have a path that checkPath has passed, or "". Some of these names would be devices there.
func windowsRefuses(p string) string {
	for part := range strings.SplitSeq(p, "/") {
		if i := strings.IndexAny(part, `<>:"|?*`); i >= 0 {
			return fmt.Sprintf("Windows has no names with %c", part[i])
		}
		if strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
			return "Windows has no names that end in a dot or a space"
		}
		if base, _, _ := strings.Cut(part, "."); isDevice(strings.TrimRight(base, " ")) {
			return fmt.Sprintf("%s is a device of Windows", base)
		}
	}
	return ""
}

func isDevice(name string) bool {
	switch name = strings.ToUpper(name); name {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, kind := range []string{"COM", "LPT"} {
		if number, ok := strings.CutPrefix(name, kind); ok {
			switch number {
			case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
				return true
			}
		}
	}
	return false
}

// partName returns the path of the part file for a path. A name that would be too long with the ending gives way to its hash.
func partName(p string) string {
	dir, name := path.Split(p)
	if len(partPrefix)+len(name)+len(partSuffix) > maxPart {
		sum := sumOf([]byte(name))
		name = fmt.Sprintf("%.100s-%x", strings.ToValidUTF8(name[:100], ""), sum[:8])
	}
	return dir + partPrefix + name + partSuffix
}
