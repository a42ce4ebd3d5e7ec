package xenstore

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
)

func TestEncodeBytes(t *testing.T) {
	got := message{kind: typeRead, request: 0x01020304, tx: 5, payload: []byte("/a\x00")}.encode()
	want := []byte{2, 0, 0, 0, 4, 3, 2, 1, 5, 0, 0, 0, 3, 0, 0, 0, '/', 'a', 0}
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestReadMessageErrors(t *testing.T) {
	whole := message{kind: typeRead, payload: []byte("abc")}.encode()
	tests := []struct {
		name  string
		input []byte
		want  error
	}{
		{"nothing", nil, io.EOF},
		{"half a header", whole[:7], io.ErrUnexpectedEOF},
		{"no payload", whole[:headerSize], io.ErrUnexpectedEOF},
		{"half a payload", whole[:headerSize+1], io.ErrUnexpectedEOF},
		{"too long", []byte{2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0}, ErrTooLong},
	}
	for _, test := range tests {
		if _, err := readMessage(bytes.NewReader(test.input)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(message{kind: typeRead, request: 1, payload: []byte("/local\x00")}.encode())
	f.Add(message{kind: typeWatchEvent, payload: joinStrings("/a", "1")}.encode())
	f.Add([]byte{16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(bytes.NewReader(data))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, m.encode()) {
			t.Errorf("% x became % x", data, m.encode())
		}
		parts := splitStrings(m.payload)
		if len(parts) > 0 && !reflect.DeepEqual(splitStrings(joinStrings(parts...)), parts) {
			t.Errorf("strings %q do not survive", parts)
		}
		_ = decodeError(m.payload)
	})
}
