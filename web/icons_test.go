package web

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestFavicon(t *testing.T) {
	resp := get(t, Handler(Options{}), "/favicon.svg")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("status %d, content type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
}

// drawn reads a picture that a page or the manifest names.
func drawn(t *testing.T, h http.Handler, target string) image.Image {
	t.Helper()
	resp := get(t, h, target)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "image/png" {
		t.Fatalf("%s: status %d, content type %q", target, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	content := body(t, resp)
	if len(content) > 24<<10 {
		t.Errorf("%s has %d bytes", target, len(content))
	}
	picture, err := png.Decode(strings.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return picture
}

// TestManifest: browsers can install the page, in the user's language. Its pictures are what it says.
func TestManifest(t *testing.T) {
	h := Handler(Options{})
	for acceptLanguage, want := range map[string]struct{ tag, about string }{"": {"en", "Talk, see"}, chineseBrowser: {"zh-Hans", "语音"}} {
		resp := get(t, h, "/manifest.webmanifest", "Accept-Language", acceptLanguage)
		var manifest struct {
			ID, Name, Description, Lang, Scope, Display string
			ShortName                                   string `json:"short_name"`
			StartURL                                    string `json:"start_url"`
			ThemeColor                                  string `json:"theme_color"`
			BackgroundColor                             string `json:"background_color"`
			Icons                                       []struct{ Src, Type, Sizes, Purpose string }
		}
		if err := json.Unmarshal([]byte(body(t, resp)), &manifest); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/manifest+json" || resp.Header.Get("Cache-Control") != "no-cache" || !slices.Contains(resp.Header.Values("Vary"), "Accept-Language") {
			t.Errorf("status %d, %v", resp.StatusCode, resp.Header)
		}
		if manifest.Lang != want.tag || !strings.HasPrefix(manifest.Description, want.about) {
			t.Errorf("%q: %q in %q", acceptLanguage, manifest.Description, manifest.Lang)
		}
		if manifest.Name == "" || manifest.ShortName == "" || manifest.ID != "/" || manifest.StartURL != "/" || manifest.Scope != "/" || manifest.Display != "standalone" || manifest.ThemeColor != "#f5f2ea" || manifest.BackgroundColor != "#f5f2ea" {
			t.Errorf("%+v", manifest)
		}
		var sizes []string
		for _, icon := range manifest.Icons {
			sizes = append(sizes, strings.TrimSpace(icon.Purpose+" "+icon.Sizes))
			if icon.Type != "image/png" {
				continue
			}
			picture := drawn(t, h, icon.Src)
			if bounds := picture.Bounds(); fmt.Sprintf("%dx%d", bounds.Dx(), bounds.Dy()) != icon.Sizes {
				t.Errorf("%s is %v", icon.Src, bounds)
			}
			_, _, _, corner := picture.At(0, 0).RGBA()
			if isWhole := corner == 0xffff; isWhole != (icon.Purpose == "maskable") {
				t.Errorf("%s: a corner that is cut off must be drawn, and no other: %t", icon.Src, isWhole)
			}
		}
		if want := []string{"any", "192x192", "512x512", "maskable 512x512"}; !slices.Equal(sizes, want) {
			t.Errorf("icons %v, want %v", sizes, want)
		}
	}
}

// TestAppIcons: every page names what systems show of it.
func TestAppIcons(t *testing.T) {
	h := Handler(Options{})
	picture := drawn(t, h, "/apple-touch-icon.png")
	if _, _, _, corner := picture.At(0, 0).RGBA(); corner != 0xffff || picture.Bounds().Dx() != 180 {
		t.Errorf("the icon of iOS is %v, or has holes, which iOS fills with black", picture.Bounds())
	}
	style := body(t, get(t, h, "/v/"+made().hash+"/css/index-all.css"))
	colours := regexp.MustCompile(`--paper: ?(#[0-9a-f]{6})`).FindAllStringSubmatch(style, -1)
	if len(colours) != 2 {
		t.Fatalf("the colours of paper are %v", colours)
	}
	for _, target := range []string{"/", "/r/standup", "/c/"} {
		html := body(t, get(t, h, target))
		for _, want := range []string{
			`<link rel="apple-touch-icon" href="/apple-touch-icon.png">`, `<link rel="manifest" href="/manifest.webmanifest">`,
			fmt.Sprintf(`<meta name="theme-color" content=%q media="(prefers-color-scheme: light)">`, colours[0][1]),
			fmt.Sprintf(`<meta name="theme-color" content=%q media="(prefers-color-scheme: dark)">`, colours[1][1]),
		} {
			if !strings.Contains(html, want) {
				t.Errorf("%s lacks %s", target, want)
			}
		}
	}
}
