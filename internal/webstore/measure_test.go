package webstore

import (
	"net/http"
	"testing"
)

func TestContentRange(t *testing.T) {
	for text, want := range map[string]byteRange{
		"":                               {-1, -1},
		"bytes 0-0/1234":                 {0, 1234},
		"Bytes 500-999/*":                {500, -1},
		"bytes */0":                      {-1, 0},
		"bytes 0-0":                      {0, -1},
		"items 0-0/7":                    {-1, -1},
		"bytes -5-0/-7":                  {-1, -1},
		"bytes 0-0/9223372036854775807":  {0, 1<<63 - 1},
		"bytes 0-0/9223372036854775808":  {0, -1},
		"bytes 0-0/+7":                   {0, -1},
		"bytes 0-0/7 and something else": {0, -1},
	} {
		if got := contentRange(http.Header{"Content-Range": {text}}); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-0/1234")
	f.Add("bytes */0")
	f.Fuzz(func(t *testing.T, text string) {
		if got := contentRange(http.Header{"Content-Range": {text}}); got.first < -1 || got.size < -1 {
			t.Errorf("%q is %+v", text, got)
		}
	})
}
