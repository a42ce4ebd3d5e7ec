package webstore

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// measure asks for the sizes of a guest's files and reserves memory for all of them.
func (f *fetcher) measure(ctx context.Context, g guest, files *memory.Files) *guests.Error {
	const page = 4096 // the unit in which tmpfs gives out memory, bytes
	var total, pages int64
	known := true
	for i := range g.files {
		size, err := f.size(ctx, g.files[i])
		if err != nil {
			return f.refusal(g, g.files[i], err)
		}
		g.files[i].size = size
		known = known && size >= 0
		size = min(max(size, 0), maxSize)
		total, pages = total+size, pages+(size+page-1)/page*page
	}
	if err := files.Grow(ctx, pages); err != nil {
		return f.refusal(g, file{path: g.name + "/"}, err)
	}
	if known {
		f.total = total
	}
	return nil
}

// maxSize is more than any machine has, bytes. It keeps sums of what servers say from overflowing.
const maxSize = 1 << 50

// size asks for a file's size, bytes, until the server answers; -1 if it does not say.
func (f *fetcher) size(ctx context.Context, of file) (int64, error) {
	var size int64
	err := f.persist(ctx, func() (moved bool, err error) {
		size, err = f.askSize(ctx, of)
		return false, err
	})
	return size, err
}

// askSize asks with HEAD, and with GET if that brings no size: presigned URLs and some programs answer
// nothing but GET. What GET says counts, because GET fetches the file later. HEAD comes first for servers
// without ranges, which would begin to send each file.
func (f *fetcher) askSize(ctx context.Context, of file) (int64, error) {
	if !f.noHEAD {
		if size, err := f.head(ctx, of); err == nil && size >= 0 {
			return size, nil
		}
	}
	size, err := f.firstByte(ctx, of)
	f.noHEAD = f.noHEAD || err == nil
	return size, err
}

// head asks for a file's size with HEAD; -1 if the answer has none.
func (f *fetcher) head(ctx context.Context, of file) (int64, error) {
	response, err := f.request(ctx, http.MethodHead, of.path, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return -1, nil
	}
	return response.ContentLength, nil
}

// firstByte asks for a file's first byte; the answer has the size of the whole file (RFC 9110, section
// 14.4). A server without ranges begins to send all of it, which closing the answer ends. The size is -1
// if the server does not say.
func (f *fetcher) firstByte(ctx context.Context, of file) (int64, error) {
	response, err := f.request(ctx, http.MethodGet, of.path, http.Header{"Range": {"bytes=0-0"}})
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return response.ContentLength, nil
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable: // an empty file has no first byte
		return contentRange(response.Header).size, nil
	}
	return 0, missing(badStatus(response), response.StatusCode)
}

// byteRange is what a Content-Range header says.
type byteRange struct {
	first int64 // position of the first byte that is sent; -1 if none is
	size  int64 // of the whole file, bytes; -1 if the server does not say
}

// contentRange reads the Content-Range of an answer: "bytes 0-499/1234", "bytes 0-499/*" or
// "bytes */1234". Both fields are -1 if there is none or it has another form.
func contentRange(header http.Header) byteRange {
	unit, text, _ := strings.Cut(header.Get("Content-Range"), " ")
	positions, size, _ := strings.Cut(text, "/")
	if !strings.EqualFold(unit, "bytes") {
		return byteRange{-1, -1}
	}
	first, _, _ := strings.Cut(positions, "-")
	return byteRange{number(first), number(size)}
}

// number reads a number of bytes; -1 for anything else.
func number(text string) int64 {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

// missing adds what to do about a file that the list has and the server has not.
func missing(why *fault, code int) *fault {
	if code == http.StatusNotFound || code == http.StatusGone {
		why.remedy = "put it there, or write " + sha256sums.Name + " anew"
	}
	return why
}
