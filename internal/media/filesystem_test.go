package media

import (
	"testing"

	"github.com/zerodisc/zerodisc/internal/readonly"
)

// bytesAt is text at offsets.
type bytesAt map[int]string

// header returns the first 128 KiB of a device that holds b and is zero besides.
func header(b bytesAt) []byte {
	head := make([]byte, 128<<10)
	for offset, text := range b {
		copy(head[offset:], text)
	}
	return head
}

// fatImage is a device that looks like one with a FAT file system: 131,072 sectors, clusters of 8.
func fatImage() []byte {
	return header(bytesAt{
		0:   "\xeb\x58\x90mkfs.fat\x00\x02\x08\x20\x00\x02\x00\x00\x00\x00\xf8\x00\x00",
		32:  "\x00\x00\x02\x00\x80\x00\x00\x00",
		82:  "FAT32   ",
		510: "\x55\xaa",
	})
}

// luksImage is a device that is encrypted.
func luksImage() []byte { return header(bytesAt{0: "LUKS\xba\xbe\x00\x01"}) }

func TestFileSystem(t *testing.T) {
	for _, test := range []struct {
		name  string
		image []byte
		want  readonly.Mount
		err   string
	}{
		{"FAT", fatImage(), readonly.Mount{Driver: "vfat"}, ""},
		{"encrypted", luksImage(), readonly.Mount{}, "crypto_LUKS, encrypted, not searched"},
		{"swap space", header(bytesAt{1024: "\x01\x00\x00\x00\x01", 4086: "SWAPSPACE2"}), readonly.Mount{},
			"swap, not searched"},
		{"nothing", make([]byte, 128<<10), readonly.Mount{}, errUnknown.Error()},
		{"no disk", nil, readonly.Mount{}, errUnknown.Error()},
	} {
		kind, how, err := fileSystem(file(t, test.image))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if how != test.want || text != test.err || (kind == "") != (test.err != "") {
			t.Errorf("%s: %q, %+v, %v", test.name, kind, how, err)
		}
	}
}
