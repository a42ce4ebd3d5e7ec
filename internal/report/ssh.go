package report

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
)

// usualPort of SSH, which nobody has to name.
const usualPort = 22

// sshLine is the line of what the SSH server tells.
func sshLine(event host.Event) (level slog.Level, message string, attrs []any) {
	others, remedy := 0, ""
	switch e := event.(type) {
	case host.SSH:
		return sshStateLine(e)
	case host.SSHLogin:
		message, attrs, others = boot.MsgSSHLogin, []any{"from", e.From, "method", e.Method}, e.Others
	case host.SSHRefused:
		level, message, attrs, others = slog.LevelWarn, boot.MsgSSHRefused, []any{"from", e.From}, e.Others
		if e.Passwords > 0 {
			attrs = append(attrs, "passwords", e.Passwords)
			remedy = "allow keys only, and there is no password to guess; each wrong one makes it wait longer"
		} else {
			attrs = append(attrs, "connections", e.Connections)
			remedy = "others can log in; if you do not know who it is, find it by its address"
		}
	}
	if others > 0 {
		attrs = append(attrs, "others", others)
	}
	if remedy != "" {
		attrs = append(attrs, "remedy", remedy)
	}
	return level, message, attrs
}

func sshStateLine(e host.SSH) (slog.Level, string, []any) {
	switch {
	case e.Problem != "":
		return slog.LevelError, boot.MsgSSH, []any{"state", "failed", "err", e.Problem,
			"remedy", "log in at the console; it is tried again"}
	case e.Off:
		return slog.LevelInfo, boot.MsgSSH, []any{"state", "off"}
	}
	attrs := []any{"state", "listening"}
	if e.Address.IsValid() {
		attrs = append(attrs, "address", e.Address.String())
	}
	attrs = append(attrs, "port", e.Port, "methods", strings.Join(e.Methods, ","),
		"fingerprint", strings.Join(e.Fingerprints, ","))
	if len(e.Methods) == 0 {
		attrs = append(attrs, "remedy", "ssh-password on a local console makes a one-time password")
	}
	return slog.LevelInfo, boot.MsgSSH, attrs
}

// ssh says how to log in over the network, "" where there is no server yet.
func ssh(h host.Host) string {
	switch s := h.SSH; {
	case s.Problem != "":
		return "failed: " + s.Problem
	case s.Off:
		return "off"
	case s.Port == 0:
		return ""
	case len(s.Methods) == 0:
		return Login(h) + ", once there is a password (ssh-password makes one) or a key"
	default:
		return fmt.Sprintf("%s, by %s; host key %s", Login(h), strings.Join(s.Methods, " or "),
			strings.Join(s.Fingerprints, " "))
	}
}

// Login is the command that logs in to this host.
func Login(h host.Host) string {
	address := "ADDRESS"
	if first := h.Network.First(); first.IsValid() {
		address = first.String()
	}
	command := "ssh root@" + address
	if h.SSH.Port != 0 && h.SSH.Port != usualPort {
		command += fmt.Sprintf(" -p %d", h.SSH.Port)
	}
	return command
}
