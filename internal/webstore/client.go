package webstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// NewClient returns a client that trusts the public certificate authorities.
func NewClient() *http.Client { return newClient(sync.OnceValue(PublicRoots)) }

// newClient returns a client that trusts the given certificate authorities. roots is called with the first
// https connection.
func newClient(roots func() *x509.CertPool) *http.Client {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			DialContext: dialer.DialContext,
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				secure := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{RootCAs: roots()}}
				return secure.DialContext(ctx, network, address)
			},
			// Sizes and ranges must be the file's, not those of a compressed copy.
			DisableCompression: true,
			IdleConnTimeout:    30 * time.Second,
		},
	}
}

// PublicRoots returns the certificate authorities that browsers trust; dom0 has no files with them.
// Importing the package fallback would do the same, but every process would then parse all of them, a
// guest's init and every shell command included: 5 ms and 1.2 MB.
func PublicRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil: // one that this Go does not take
		case root.Constraint == nil:
			pool.AddCert(certificate)
		default:
			pool.AddCertWithConstraint(certificate, root.Constraint)
		}
	}
	return pool
}

// maxRedirects is how many redirects one request follows.
const maxRedirects = 10

// checkRedirect follows a server, but not out of https.
func checkRedirect(next *http.Request, before []*http.Request) error {
	switch {
	case len(before) >= maxRedirects:
		return fmt.Errorf("redirected %d times", maxRedirects)
	case next.URL.Scheme != "https" && before[0].URL.Scheme == "https":
		return fmt.Errorf("redirected from https to %s at %s", next.URL.Scheme, next.URL.Host)
	}
	return nil
}

// fault is why a request failed, and what a person can do about it. Its text is printable.
type fault struct {
	err    error
	remedy string
	lasts  bool // the server has answered, and would give the same answer again
	early  bool // no server has answered, which is normal while the network comes up
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

var errSilent = errors.New("the server is silent")

const (
	remedyNetwork = "check the address, that the server runs, and that this machine is let in"
	remedyServer  = "see the server's log"
	remedyClock   = "correct dom0's clock (date, or the firmware's setup)"
	remedyTrust   = "only public certificate authorities are trusted here; for a server of your own use http and " +
		boot.KeyGuestsSum
)

// noAnswer explains why no server has answered. What servers, proxies and certificates say enters here.
func noAnswer(err error) *fault {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // every message has the URL already
	}
	why := &fault{err: errors.New(said(err)), remedy: remedyNetwork, early: err != errSilent}
	var invalid x509.CertificateInvalidError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		why.err = fmt.Errorf("%w; dom0's clock says %s", why.err, time.Now().UTC().Format(time.RFC3339))
		why.remedy, why.early = remedyClock, false
	case errors.As(err, &certificate):
		why.remedy, why.early = remedyTrust, false
	}
	return why
}

// addresses are URLs in an error's text. Those that a server redirects to may have credentials: a presigned
// URL is one.
var addresses = regexp.MustCompile(`(?i)\bhttps?://[^\s"]+`)

// said is the text of an error that may quote the other side. A certificate alone can have 16 KiB of names.
func said(err error) string {
	const longest = 300 // bytes
	return shorten(printable.Line(addresses.ReplaceAllString(err.Error(), "URL")), longest)
}

// badStatus explains an answer that is not what was asked for. The status is in Go's words: a server's own
// may be anything.
func badStatus(response *http.Response) *fault {
	code := response.StatusCode
	err := fmt.Errorf("the server says %d %s", code, http.StatusText(code))
	return &fault{err: err, remedy: remedyServer, lasts: !passes(code)}
}

// passes says whether a server that answers with the status may answer otherwise later.
func passes(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return code >= 500
}

// request asks for a file of the store and returns the answer, whatever its status; the caller closes
// its body. It gives up when the server is silent for longer than Timing.Stall, before its answer or in
// the middle of it. Errors are *fault.
func (f *fetcher) request(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequest(method, f.Source.file(path).String(), nil)
	if err != nil {
		return nil, &fault{err: errors.New(said(err)), remedy: remedyNetwork, lasts: true}
	}
	maps.Copy(request.Header, header)
	request.Header.Set("User-Agent", "zerodisc/"+boot.Version)
	ctx, cancel := context.WithCancelCause(ctx)
	alarm := time.AfterFunc(f.Timing.Stall, func() { cancel(errSilent) })
	response, err := f.Client.Do(request.WithContext(ctx))
	alarm.Stop()
	if err != nil {
		defer cancel(nil)
		if context.Cause(ctx) == errSilent {
			err = errSilent
		}
		return nil, noAnswer(err)
	}
	response.Body = &watched{body: response.Body, stall: f.Timing.Stall, ctx: ctx, cancel: cancel}
	return response, nil
}

// watched is the body of an answer. Reading it fails when the server falls silent.
type watched struct {
	body   io.ReadCloser
	stall  time.Duration
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
}

// Read waits no longer than stall. An error but io.EOF is a *fault.
func (w *watched) Read(p []byte) (int, error) {
	alarm := time.AfterFunc(w.stall, func() { w.cancel(errSilent) })
	n, err := w.body.Read(p)
	alarm.Stop()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case context.Cause(w.ctx) == errSilent:
		err = errSilent
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection broke")
	}
	return n, noAnswer(err)
}

func (w *watched) Close() error {
	defer w.cancel(nil)
	return w.body.Close()
}
