package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// HostKeyFile is the name of the file with a host key, below the directory where it is kept.
const HostKeyFile = "host_ed25519"

// maxHostKey bounds the file of a host key, bytes; an RSA key of 8192 bits has 6400.
const maxHostKey = 16 << 10

// NewHostKey makes a host key, an Ed25519 key in OpenSSH's form. It waits for the kernel's random numbers.
func NewHostKey() (string, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make a host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "zerodisc")
	if err != nil {
		return "", fmt.Errorf("make a host key: %w", err)
	}
	return string(pem.EncodeToMemory(block)), nil
}

// parseHostKey reads a private key in PEM.
func parseHostKey(text string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey([]byte(text))
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, errors.New("SSH host key: it is protected by a passphrase; remove that with ssh-keygen -p")
	case err != nil:
		return nil, fmt.Errorf("SSH host key: want a private key as ssh-keygen writes it: %w", err)
	}
	if err := strong(signer.PublicKey()); err != nil {
		return nil, fmt.Errorf("SSH host key: %w", err)
	}
	return signer, nil
}

// ReadHostKey reads the host key that is kept in dir. Where there is none the error is fs.ErrNotExist.
func ReadHostKey(dir string) (string, error) {
	name := filepath.Join(dir, HostKeyFile)
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read host key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHostKey))
	if err == nil {
		_, err = parseHostKey(string(text))
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return string(text), nil
}

// SaveHostKey keeps a host key in dir, where only root can read it.
func SaveHostKey(dir, text string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = writePrivate(filepath.Join(dir, HostKeyFile), []byte(text))
	}
	if err != nil {
		return fmt.Errorf("keep host key: %w", err)
	}
	return nil
}

// writePrivate writes a file that only root can read, as a whole or not at all, through a power cut too.
func writePrivate(name string, text []byte) error {
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}
