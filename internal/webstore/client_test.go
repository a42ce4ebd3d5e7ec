package webstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

const escapes = "\x1b[2J\x1b]0;x\x07\u009b2J\u202e"

// answer writes raw bytes in place of an HTTP answer.
func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer connection.Close()
		_, _ = io.WriteString(connection, text)
	}
}

func location(to string) http.HandlerFunc {
	return answer("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + "\r\n\r\n")
}

// certificate is one for the given names that nobody has signed.
func certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: escapes}, Issuer: pkix.Name{CommonName: escapes},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// failure runs a store until it reports a failure, and returns every text of the event.
func failure(t *testing.T, r *run) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	text := ""
	r.store.Report = func(e Event) {
		text = fmt.Sprint(e.Err, " ", e.Remedy)
		cancel()
	}
	if err := r.store.Run(ctx); err == nil {
		t.Error("the run ended without a failure")
	}
	return text
}

// checkOutside holds a text that quotes the other side to what a console can show.
func checkOutside(t *testing.T, text string) {
	t.Helper()
	const longest = 1200 // two times the error and the remedy
	if text == "" || text != printable.Line(text) || len(text) > longest || strings.Contains(text, "secret") {
		t.Errorf("the console and the report have %d bytes: %q", len(text), text)
	}
}

// Anybody between dom0 and a store may answer in its place.
func TestWhatServersSayIsPrintable(t *testing.T) {
	list := strings.Repeat("0", 64) + "  "
	for name, handler := range map[string]http.HandlerFunc{
		"status line":        answer("HTTP/1.1 " + escapes + " OK\r\n\r\n"),
		"status":             answer("HTTP/1.1 404 " + escapes + "\r\nContent-Length: 0\r\n\r\n"),
		"no HTTP":            answer(escapes + "\r\n\r\n"),
		"header":             answer("HTTP/1.1 200 OK\r\n" + escapes + ": x\r\n\r\n"),
		"header value":       answer("HTTP/1.1 200 OK\r\nContent-Length: " + escapes + "\r\n\r\n"),
		"encoding":           answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + escapes + "\r\n\r\n"),
		"redirect":           location("http://user:secret@host/" + escapes),
		"redirect, bad host": location("http://secret%1b%9b:secret@host/"),
		"redirect to C1":     location("http://%c2%9b2J%e2%80%ae.invalid/?secret"),
		"redirect, bad path": location("http://user:secret@host/%zz?secret"),
		"redirect, scheme":   location("ftp://user:secret@host/?secret"),
		"path":               answer("HTTP/1.1 200 OK\r\n\r\n" + list + "a/" + escapes),
		"path, long":         answer("HTTP/1.1 200 OK\r\n\r\n" + list + "a/" + strings.Repeat("漢", 1300)),
		"path, zero byte":    answer("HTTP/1.1 200 OK\r\n\r\n" + list + escapes + "\x00" + strings.Repeat("a", 4000)),
		"path, escape":       answer("HTTP/1.1 200 OK\r\n\r\n\\" + list + escapes + strings.Repeat("a", 4000) + `\x`),
	} {
		t.Run(name, func(t *testing.T) { checkOutside(t, failure(t, newRun(t, handler))) })
	}
}

func TestWhatCertificatesSayIsPrintable(t *testing.T) {
	for name, names := range map[string][]string{
		"escapes": {"\x1b[2J\x1b]0;x\x07.example"},
		"long":    {strings.Repeat("a", 8000) + ".example", strings.Repeat("b", 8000) + ".example"},
		"ours":    {"localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, names...)}}
			server.StartTLS()
			t.Cleanup(server.Close)
			at := strings.Replace(server.URL, "127.0.0.1", "user:secret@localhost", 1)
			text := failure(t, newRunAt(t, at+"/guests/"))
			checkOutside(t, text)
			if !strings.Contains(text, remedyTrust) {
				t.Errorf("it is not about the certificate: %s", text)
			}
		})
	}
}

// A redirect out of https may lead to a presigned URL.
func TestRedirectErrorHasNoCredentials(t *testing.T) {
	request := func(u string) *http.Request { return httptest.NewRequest(http.MethodGet, u, nil) }
	err := checkRedirect(request("http://user:secret@a/secret?secret"), []*http.Request{request("https://a/")})
	if err == nil || err.Error() != "redirected from https to http at a" {
		t.Errorf("got %v", err)
	}
}

// A refusal of a guest has the URL of the file, without the credentials of the store.
func TestRefusalHasNoCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "tty8") {
			http.NotFound(w, r)
			return
		}
		demo().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	r := newRunAt(t, strings.Replace(server.URL, "//", "//secret:secret@", 1)+"/guests/")
	r.do(t)
	if len(r.refused) != 1 || strings.Contains(r.refused[0], "secret") {
		t.Errorf("refused %q", r.refused)
	}
}
