package webstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// download is one file on its way.
type download struct {
	*fetcher
	file
	out       *os.File
	sum       hash.Hash // of what is written
	files     *memory.Files
	have      int64  // bytes that are written
	furthest  int64  // bytes that were written at any time
	validator string // of the version that is being written, for If-Range; "" if the server names none
}

// tries is how often a file with a wrong sum is fetched: a proxy may have kept an old one, or somebody
// replaced the file while it was read.
const tries = 2

// download brings a file into memory and checks it.
func (f *fetcher) download(ctx context.Context, what file, files *memory.Files) error {
	if err := f.root.MkdirAll(path.Dir(what.path), 0o755); err != nil {
		return err
	}
	out, err := f.root.Create(what.path)
	if err != nil {
		return err
	}
	d := &download{fetcher: f, file: what, out: out, sum: sha256.New(), files: files}
	return errors.Join(d.checked(ctx), out.Close())
}

// checked fetches the file until its sum is right.
func (d *download) checked(ctx context.Context) error {
	for try := 1; ; try++ {
		if err := d.persist(ctx, func() (bool, error) { return d.attempt(ctx) }); err != nil {
			return err
		}
		sum := [sha256.Size]byte(d.sum.Sum(nil))
		if sum == d.file.sum {
			return nil
		}
		if try == tries {
			return &fault{
				err:    fmt.Errorf("its SHA-256 is %x, %s says %x", sum, sha256sums.Name, d.file.sum),
				remedy: "put the right file there, or write " + sha256sums.Name + " anew",
			}
		}
		if err := d.restart(); err != nil {
			return err
		}
	}
}

// attempt fetches the missing part of the file, and says whether it got further than ever before.
func (d *download) attempt(ctx context.Context) (moved bool, err error) {
	response, err := d.request(ctx, http.MethodGet, d.path, d.header())
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if err := d.position(response); err != nil {
		return false, err
	}
	before := d.furthest
	err = d.write(ctx, response.Body)
	return d.furthest > before, err
}

// header asks for the rest if a part of the file is there (RFC 9110, sections 13.1.5 and 14.2).
func (d *download) header() http.Header {
	header := http.Header{}
	if d.have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		if d.validator != "" {
			header.Set("If-Range", d.validator)
		}
	}
	return header
}

// position makes the file ready for what the server sends: the rest, or the whole file if the server
// has no ranges or another version by now.
func (d *download) position(response *http.Response) error {
	switch code := response.StatusCode; {
	case code == http.StatusPartialContent && d.have > 0 && contentRange(response.Header).first == d.have:
		return nil
	case code == http.StatusOK:
		d.validator = validator(response.Header)
		return d.restart()
	case code == http.StatusPartialContent || code == http.StatusRequestedRangeNotSatisfiable:
		why := badStatus(response)
		why.lasts = false // the next request asks for the whole file
		return errors.Join(why, d.restart())
	default:
		return missing(badStatus(response), code)
	}
}

// validator tells versions of a file apart (RFC 9110, section 8.8): a strong ETag, or a date.
func validator(header http.Header) string {
	if tag := header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return header.Get("Last-Modified")
}

// restart throws away what is written.
func (d *download) restart() error {
	if err := d.out.Truncate(0); err != nil {
		return err
	}
	if _, err := d.out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	d.files.Wrote(-d.have)
	d.advance(-d.have)
	d.have = 0
	d.sum.Reset()
	return nil
}

// chunk is how many bytes are read at a time.
const chunk = 64 << 10

// write appends what the server sends.
func (d *download) write(ctx context.Context, from io.Reader) error {
	buffer := make([]byte, chunk)
	for {
		n, err := from.Read(buffer)
		if wrong := d.append(ctx, buffer[:n]); wrong != nil {
			return wrong
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *download) append(ctx context.Context, data []byte) error {
	size := int64(len(data))
	if err := d.files.Ensure(ctx, size); err != nil {
		return err
	}
	if _, err := d.out.Write(data); err != nil {
		return err
	}
	d.sum.Write(data) // never fails, hash.Hash
	d.files.Wrote(size)
	d.have += size
	if d.have > d.furthest {
		d.furthest = d.have
		d.recovered()
	}
	d.advance(size)
	return nil
}
