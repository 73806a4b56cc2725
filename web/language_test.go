package web

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

const chineseBrowser = "zh-CN,zh;q=0.9,en;q=0.8"

func TestPreferredLanguage(t *testing.T) {
	for header, want := range map[string]language{
		"": english, "*": english, "en-US,en;q=0.9": english, "de,fr;q=0.9": english, "zh": chinese, "zh-CN": chinese, "ZH-hans-cn": chinese, "zh-TW,zh;q=0.9": chinese,
		chineseBrowser: chinese, "en-GB,en;q=0.9,zh;q=0.8": english, "en;q=0.5, zh;q=0.8": chinese, "de, zh;q=0.3": chinese, "zh;q=0": english, "zh;q=0.0,en": english,
		"zh;q=x": english, "zh ; q=0.7, en ; Q=0.9": english, "zhx": english, ",,;;q=,zh": chinese, "en,zh": english, "zh,en": chinese,
	} {
		if got := preferredLanguage(http.Header{"Accept-Language": {header}}); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	if got := preferredLanguage(http.Header{"Accept-Language": {"de", "zh;q=0.1"}}); got != chinese {
		t.Errorf("the second line of a header is not read: %s", got)
	}
}

// TestLanguages: pages come in the language that the browser wants, and caches keep them apart.
func TestLanguages(t *testing.T) {
	h := Handler(Options{})
	for target, said := range map[string][2]string{
		"/":            {"Skip to content", "跳到主要内容"},
		"/r/standup":   {"This page needs JavaScript", "此页面需要 JavaScript"},
		"/c/7":         {"<title data-say=\"code.page\">Files", "<title data-say=\"code.page\">文件"},
		"/nothing":     {"This road ends here", "此路不通"},
		"/sdk/missing": {"This road ends here", "此路不通"},
	} {
		inEnglish, inChinese := get(t, h, target), get(t, h, target, "Accept-Language", chineseBrowser)
		one, other := body(t, inEnglish), body(t, inChinese)
		if !strings.Contains(one, `<html lang="en"`) || !strings.Contains(one, said[0]) || inEnglish.Header.Get("Content-Language") != "en" {
			t.Errorf("%s is not in English: %v", target, inEnglish.Header)
		}
		if !strings.Contains(other, `<html lang="zh-Hans"`) || !strings.Contains(other, said[1]) || inChinese.Header.Get("Content-Language") != "zh-Hans" {
			t.Errorf("%s is not in Chinese: %v", target, inChinese.Header)
		}
		for _, resp := range []*http.Response{inEnglish, inChinese} {
			if !slices.Contains(resp.Header.Values("Vary"), "Accept-Language") {
				t.Errorf("%s: a cache would give the answer to others: %v", target, resp.Header)
			}
			if resp.StatusCode == http.StatusOK && resp.Header.Get("ETag") == "" {
				t.Errorf("%s has no ETag", target)
			}
		}
		if tag := inEnglish.Header.Get("ETag"); tag != "" && tag == inChinese.Header.Get("ETag") {
			t.Errorf("%s: two languages have one ETag", target)
		}
		if strings.Contains(one+other, "LANGUAGE") || strings.Contains(one+other, "data-say-content") {
			t.Errorf("%s: a placeholder is still in it", target)
		}
	}
	if resp := get(t, h, "/v/"+made().hash+"/app.js"); slices.Contains(resp.Header.Values("Vary"), "Accept-Language") {
		t.Error("a module differs by language")
	}
}

// TestWordsArePreloaded: Chinese words come with what the page asks for at once, and English ones are in the modules.
func TestWordsArePreloaded(t *testing.T) {
	s := made()
	for v, skip := range map[view]string{home: "房间里还没有其他人", room: "谁在线", code: "谁在线"} {
		var names []string
		for _, m := range preloaded.FindAllStringSubmatch(string(s.pages[v][chinese].plain.content), -1) {
			names = append(names, m[1])
		}
		var words string
		sum := 0
		for _, name := range names {
			if strings.Contains(string(s.pages[v][english].plain.content), name) {
				continue
			}
			f, ok := s.files[name]
			if !ok {
				t.Fatalf("%s names %s, which is not there", v, name)
			}
			words += string(f.plain.content)
			sum += sent(f)
		}
		t.Logf("%s: %d bytes of Chinese in %d files", v, sum, len(names))
		if !strings.Contains(words, "重新加载") {
			t.Errorf("%s does not preload the words of the whole page", v)
		}
		if strings.Contains(words, skip) {
			t.Errorf("%s preloads words of another view", v)
		}
		if sum > 12<<10 {
			t.Errorf("%s has %d bytes of words", v, sum)
		}
		for _, m := range preloaded.FindAllStringSubmatch(string(s.pages[v][english].plain.content), -1) {
			if strings.Contains(string(s.files[m[1]].plain.content), "重新加载") {
				t.Errorf("%s in English loads %s, which is Chinese", v, m[1])
			}
		}
	}
}
