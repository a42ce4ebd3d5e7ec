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
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/zerodisc/zerodisc/boot"
)

// NewClient returns a client that knows the public certificate authorities.
func NewClient() *http.Client { return newClient(sync.OnceValue(publicRoots)) }

// newClient returns a client that takes https certificates of the given authorities, which are asked
// for when the first one is met.
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
			// Sizes and ranges are those of the files, not of what a server makes of them.
			DisableCompression: true,
			IdleConnTimeout:    30 * time.Second,
		},
	}
}

// publicRoots are the certificate authorities that browsers trust; dom0 has no files of them. The
// package fallback would make them known to every program by itself, but parses all of them in each
// process, a guest's init and every shell command among them: 5 ms and 1.2 MB.
func publicRoots() *x509.CertPool {
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

// checkRedirect follows a server, but not out of https.
func checkRedirect(next *http.Request, before []*http.Request) error {
	const most = 10
	switch {
	case len(before) >= most:
		return fmt.Errorf("redirected %d times", most)
	case next.URL.Scheme != "https" && before[0].URL.Scheme == "https":
		return fmt.Errorf("redirected from https to %s", next.URL.Redacted())
	}
	return nil
}

// fault is why a request came to nothing, and what a person can do about it.
type fault struct {
	err    error
	remedy string
	// lasts: the server has answered and would answer the same again.
	lasts bool
	// early: no server has answered, which is usual while the network comes up.
	early bool
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

var errSilent = errors.New("the server is silent")

const (
	remedyNetwork = "check the address, that the server runs, and that this machine is let in"
	remedyServer  = "see the server's log"
	remedyClock   = "correct dom0's clock (date, or the firmware's setup)"
	remedyTrust   = "only public certificate authorities are known here; for a server of your own use http and " + boot.KeyGuestsSum
)

// noAnswer explains why no server has answered.
func noAnswer(err error) *fault {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL is told anyway
	}
	var invalid x509.CertificateInvalidError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		err := fmt.Errorf("%w; dom0's clock says %s", err, time.Now().UTC().Format(time.RFC3339))
		return &fault{err: err, remedy: remedyClock}
	case errors.As(err, &certificate):
		return &fault{err: err, remedy: remedyTrust}
	}
	return &fault{err: err, remedy: remedyNetwork, early: err != errSilent}
}

// badStatus explains an answer that is not what was asked for.
func badStatus(response *http.Response) *fault {
	code := response.StatusCode
	passes := code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests
	return &fault{err: fmt.Errorf("the server says %s", statusText(code)), remedy: remedyServer, lasts: !passes}
}

// statusText is a status in Go's words: a server's own may be anything.
func statusText(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// request asks for a file of the store. The answer comes whatever its status is; the caller closes its
// body. A server that is silent for longer than Timing.Stall is given up, be it before its answer or in
// the middle. Errors are *fault.
func (f *fetcher) request(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequest(method, f.Source.file(path).String(), nil)
	if err != nil {
		return nil, &fault{err: err, remedy: remedyNetwork, lasts: true}
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

// watched is the body of an answer, which must not stay silent.
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
