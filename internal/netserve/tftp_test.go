package netserve

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParsePacket(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       packet
	}{
		{"plain", "\x00\x01f\x00octet\x00", readRequest{"f", "octet", nil}},
		{"options", "\x00\x01f\x00OCTET\x00blkSize\x001400\x00tsize\x000\x00",
			readRequest{"f", "octet", []option{{"blksize", "1400"}, {"tsize", "0"}}}},
		{"padded", "\x00\x01f\x00octet\x00tsize\x000\x00\x00\x00\x00",
			readRequest{"f", "octet", []option{{"tsize", "0"}}}},
		{"last option cut", "\x00\x01f\x00octet\x00tsize\x000\x00blksize",
			readRequest{"f", "octet", []option{{"tsize", "0"}}}},
		{"write", "\x00\x02f\x00octet\x00", writeRequest{}},
		{"ack", "\x00\x04\x01\x02", ack(0x102)},
		{"error", "\x00\x05\x00\x08no\x00", failure{8, "no"}},
		{"error without a text", "\x00\x05\x00\x00", failure{0, ""}},
		{"no mode", "\x00\x01file\x00", nil},
		{"no name", "\x00\x01\x00octet\x00", nil},
		{"no end", "\x00\x01file", nil},
		{"data", "\x00\x03\x00\x01", nil},
		{"short", "\x00\x04\x01", nil},
		{"empty", "", nil},
	} {
		got, err := parsePacket([]byte(c.data))
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%s: got %#v, %v", c.name, got, err)
		}
	}
}

func TestNegotiate(t *testing.T) {
	const size, mtu = 1000, 1500
	for _, c := range []struct {
		name   string
		asked  []option
		agreed terms
		acked  []option
	}{
		{"nothing", nil, terms{512, 1, 0}, nil},
		{"everything", []option{{"tsize", "0"}, {"blksize", "1400"}, {"windowsize", "16"}, {"timeout", "3"}},
			terms{1400, 16, 3},
			[]option{{"tsize", "1000"}, {"blksize", "1400"}, {"windowsize", "16"}, {"timeout", "3"}}},
		{"more than fits", []option{{"blksize", "65464"}, {"windowsize", "65535"}},
			terms{1468, maxWindow, 0}, []option{{"blksize", "1468"}, {"windowsize", "64"}}},
		{"too small", []option{{"blksize", "7"}, {"windowsize", "0"}, {"timeout", "0"}}, terms{512, 1, 0}, nil},
		{"too large", []option{{"timeout", "256"}}, terms{512, 1, 0}, nil},
		{"longer than this server waits", []option{{"timeout", "255"}}, terms{512, 1, 0}, nil},
		{"no numbers", []option{{"blksize", "x"}, {"tsize", "-1"}}, terms{512, 1, 0}, nil},
		{"unknown", []option{{"multicast", "1"}}, terms{512, 1, 0}, nil},
		{"twice", []option{{"blksize", "600"}, {"blksize", "700"}}, terms{600, 1, 0}, []option{{"blksize", "600"}}},
	} {
		agreed, acked := negotiate(c.asked, size, mtu)
		if agreed != c.agreed || !reflect.DeepEqual(acked, c.acked) {
			t.Errorf("%s: got %v and %v", c.name, agreed, acked)
		}
	}
}

// newTree makes a netboot tree, with big in it, and a secret beside it.
func newTree(t testing.TB, big []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netboot")
	files := map[string][]byte{
		fileBIOS: []byte("bios"), fileUEFI: []byte("uefi"), fileUNDI: []byte("undi"), fileIPXE: []byte("#!ipxe\n"),
		"boot/big": big, "../secret": []byte("secret"),
	}
	for name, data := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenFile(t *testing.T) {
	tree, err := openTree(newTree(t, []byte("big")))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for name, found := range map[string]bool{
		"pxe-bios.0": true, "/pxe-bios.0": true, "//boot//big": true, `\boot\big`: true, "./boot/../boot/big": true,
		"../secret": false, "/../secret": false, `..\secret`: false, "link": false, "boot": false,
		"": false, "/": false, "absent": false, "boot/big/": true,
	} {
		file, _, err := openFile(tree, name)
		if (err == nil) != found {
			t.Errorf("%q: got error %v", name, err)
		}
		if err == nil {
			file.Close()
		}
	}
}

func TestIsProbe(t *testing.T) {
	for name, want := range map[string]bool{
		"/boot/grub/grub.cfg-01-52-54-00-00-00-01": true, "boot/grub/x86_64-efi/fs.lst": true,
		"/boot/grub/grub.cfg": false, "boot/xen": false, "": false,
	} {
		if isProbe(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}

func TestOpenTreeTellsWhatToDo(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if _, err := openTree(dir); err == nil || !strings.Contains(err.Error(), "make netboot") {
			t.Errorf("got error %v", err)
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	for _, data := range []string{
		"\x00\x01f\x00octet\x00",
		"\x00\x01../secret\x00netascii\x00blksize\x001400\x00windowsize\x0016\x00tsize\x000\x00timeout\x003\x00",
		"\x00\x04\x01\x02", "\x00\x05\x00\x00\x1b[2J\x00",
	} {
		f.Add([]byte(data))
	}
	tree, err := openTree(newTree(f, []byte("big")))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parsePacket(data)
		if err != nil {
			return
		}
		request, ok := parsed.(readRequest)
		if !ok {
			return
		}
		agreed, options := negotiate(request.options, 1000, 1500)
		if agreed.blockSize < minBlock || agreed.blockSize > 1468 ||
			agreed.windowSize < 1 || agreed.windowSize > maxWindow || len(options) > 4 {
			t.Fatalf("agreed on %+v, %v", agreed, options)
		}
		if file, info, err := openFile(tree, request.name); err == nil {
			file.Close()
			if info.Name() == "secret" {
				t.Fatal("left the tree")
			}
		}
		for _, r := range (fetch{name: request.name, err: errGone}).String() {
			if r < ' ' {
				t.Fatal("a control character reaches the terminal")
			}
		}
	})
}
