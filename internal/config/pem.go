package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const pemPattern = "^-----BEGIN "

func checkPrivateKey(text string) error {
	block, _ := pem.Decode([]byte(text))
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return errors.New("want a private key: -----BEGIN OPENSSH PRIVATE KEY----- and what follows; write it with a |")
	}
	return nil
}

// checkAuthority takes one certificate or several, in PEM form (RFC 7468).
func checkAuthority(text string) error {
	const want = "want a certificate: -----BEGIN CERTIFICATE----- and what follows; write it with a |"
	for rest := []byte(text); ; {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return errors.New(want)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		if rest = after; strings.TrimSpace(string(rest)) == "" {
			return nil
		}
	}
}
