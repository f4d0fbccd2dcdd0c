package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// readLogs searches the logs of the processes for panics and data races, which are breaches. It
// counts errors by message, because the faults cause many of them.
func (l *lab) readLogs() {
	for _, n := range l.nodes() {
		f, err := os.Open(filepath.Join(l.dir, n.name+".log"))
		if err != nil {
			continue // it never started
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			l.readLine(n, lines.Text())
		}
		f.Close()
	}
}

func (l *lab) readLine(n *node, line string) {
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "panicked"} {
		if strings.Contains(line, sign) {
			l.breaches.add("log", "%s: %.300s", n.name, line)
		}
	}
	var entry struct{ Level, Msg, Error string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "ERROR" {
		l.report.count("ERROR in a log: "+entry.Msg, 1)
	}
}
