package httpapi

import "testing"

func TestClient(t *testing.T) {
	a := newAPITest(GuestsNever)
	for _, row := range []struct {
		from, header, address, ignored string
	}{
		{stranger, "", "203.0.113.5", ""},
		{stranger, "X-Forwarded-For: 198.51.100.1", "203.0.113.5", "X-Forwarded-For"},
		{"10.0.0.1:4711", "X-Forwarded-For: 192.0.2.1, 198.51.100.1", "198.51.100.1", ""},
		{"10.0.0.1:4711", "", "10.0.0.1", ""},
	} {
		var headers []string
		if row.header != "" {
			headers = append(headers, row.header)
		}
		resp, object := a.do("GET", "/api/v1/client", "", request(row.from, "turn.example.org", headers...))
		ignored, _ := object["ignored"].(string)
		if resp.StatusCode != 200 || object["address"] != row.address || ignored != row.ignored {
			t.Errorf("from %s with %q: %d %v", row.from, row.header, resp.StatusCode, object)
		}
	}
}
