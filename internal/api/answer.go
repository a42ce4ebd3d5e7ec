package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Limits of what a client may send, and how slowly.
const (
	maxBody      = 64 << 10 // bytes
	maxHeader    = 16 << 10 // bytes
	bodyTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
)

// answer is what a handler returns.
type answer interface {
	write(w http.ResponseWriter)
}

// result is the answer to what is done at once.
type result struct{ metadata any }

// accepted is the answer to what has only begun.
type accepted struct{ op Operation }

// fault is an answer that says what is wrong with the request, or with the host. It is an error, too.
type fault struct {
	code int // as HTTP's
	text string
}

// text is a guest's own words, with the offset of their first byte.
type text struct {
	bytes []byte
	start int64
}

// plain is an answer without an envelope.
type plain struct {
	mediaType string
	text      []byte
}

// encoded is a result's envelope as it is sent.
type encoded []byte

// done is the answer of a handler that has written its own.
type done struct{}

func (done) write(http.ResponseWriter) {}

func (a result) envelope() Envelope {
	return Envelope{Type: TypeSync, Status: "Success", StatusCode: http.StatusOK, Metadata: a.metadata}
}

func (a result) write(w http.ResponseWriter) { writeEnvelope(w, http.StatusOK, a.envelope()) }

func (a encoded) write(w http.ResponseWriter) { send(w, http.StatusOK, a) }

func (a accepted) write(w http.ResponseWriter) {
	path := operationPath(a.op.ID)
	w.Header().Set("Location", path)
	const created = 100 // "Operation created" in Incus' doc/rest-api.md
	writeEnvelope(w, http.StatusAccepted, Envelope{
		Type: TypeAsync, Status: "Operation created", StatusCode: created, Operation: path, Metadata: a.op,
	})
}

func (f *fault) Error() string { return f.text }

func (f *fault) write(w http.ResponseWriter) {
	writeEnvelope(w, f.code, Envelope{Type: TypeError, Error: f.text, ErrorCode: f.code})
}

func (t text) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set(OffsetHeader, strconv.FormatInt(t.start, 10))
	_, _ = w.Write(t.bytes)
}

func (p plain) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", p.mediaType)
	_, _ = w.Write(p.text)
}

func writeEnvelope(w http.ResponseWriter, code int, e Envelope) {
	text, err := encode(e)
	if err != nil {
		failed(err).write(w)
		return
	}
	send(w, code, text)
}

// encode returns an envelope as JSON. It fails if JSON cannot express a value, such as NaN.
func encode(e Envelope) ([]byte, error) {
	var text bytes.Buffer
	err := json.NewEncoder(&text).Encode(e)
	return text.Bytes(), err
}

func send(w http.ResponseWriter, code int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // else a long answer is sent in chunks
	w.WriteHeader(code)
	_, _ = w.Write(text) // who has gone away needs no answer
}

// failed is the answer to an error: its own where it is a fault.
func failed(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{http.StatusInternalServerError, err.Error()}
}

// begun is the answer to the start of an operation.
func begun(op Operation, err error) answer {
	if err != nil {
		return failed(err)
	}
	return accepted{op}
}

func notFound(what, name string) *fault {
	return &fault{http.StatusNotFound, fmt.Sprintf("there is no %s %q", what, name)}
}

func badRequest(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// decode reads a request's body, which has to be one JSON object with no other fields than into has.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.Decode(&struct{}{}) != io.EOF {
		return badRequest("the body has something after its JSON object")
	}
	var tooLarge *http.MaxBytesError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return badRequest("body: field %q: want %s, not %s", mismatch.Field, mismatch.Type, mismatch.Value)
	case errors.Is(err, io.EOF):
		return badRequest("the body is empty; want a JSON object")
	}
	return badRequest("body: %v", err)
}

// number reads a number of the query, missing where it is not given.
func number(r *http.Request, key string, missing, smallest int64) (int64, error) {
	value := r.URL.Query().Get(key)
	if value == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < smallest {
		return 0, badRequest("%s=%s: want a number from %d", key, value, smallest)
	}
	return n, nil
}

func guestPath(name string) string { return Version + "/guests/" + url.PathEscape(name) }

func operationPath(id string) string { return Version + "/operations/" + id }
