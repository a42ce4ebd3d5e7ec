package main

import (
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/iscsi"
)

func TestParseStores(t *testing.T) {
	sum := strings.Repeat("0", 64)
	got, err := parseStores([]config.Store{
		{URL: "http://a/"}, {URL: "nfs://nas/guests"}, {URL: "http://b/", SHA256: sum},
	})
	if err != nil || len(got.web) != 2 || len(got.exports) != 1 || got.web[0].Pin != nil || got.web[1].Pin == nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, test := range []struct {
		store config.Store
		says  string
	}{
		{config.Store{URL: "nfs://nas/guests", SHA256: sum}, "no list"},
		{config.Store{URL: "nfs://me:hunter2@nas/guests"}, "no password"},
		{config.Store{URL: "ftp://nas/guests"}, "not the URL"},
	} {
		_, err := parseStores([]config.Store{test.store})
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want %q", test.store, err, test.says)
		}
	}
}

func TestInitiatorName(t *testing.T) {
	one, other := initiatorName("one machine"), initiatorName("another")
	if one == other || one != initiatorName("one machine") || len(one) != maxInitiator {
		t.Errorf("%s, %s", one, other)
	}
	if err := iscsi.CheckName(one); err != nil {
		t.Error(err)
	}
}
