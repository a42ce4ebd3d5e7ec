package supervise

import "log/slog"

// LogTo returns a Spec.Report that logs each change: deaths as warnings, the end of a daemon for
// good as an error, the rest for debugging.
func LogTo(log *slog.Logger) func(Status) {
	return func(s Status) {
		attrs := []any{"daemon", s.Name, "phase", string(s.Phase), "pid", s.PID, "restarts", s.Restarts}
		switch s.Phase {
		case Waiting:
			log.Warn("daemon died", append(attrs, "err", s.Err)...)
		case Failed:
			log.Error("daemon failed", append(attrs, "err", s.Err)...)
		default:
			log.Debug("daemon", attrs...)
		}
	}
}
