package users

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/crypto/bcrypt"
)

// subprocess runs bcrypt in child processes of low priority. Within this process a hash occupies
// one of the runtime's few processors for a quarter of a second, and a low-priority thread would
// delay the garbage collector: both made orders several times slower (`task bench -- -only
// logins`).
type subprocess struct {
	command []string
	log     *slog.Logger
	idle    chan *child // one element per concurrent hash; nil must be started
}

// The niceness of a child. At niceness n it gets about 0.8^n of the CPU time of a competitor:
// on two busy cores a hash of the usual cost takes four times as long at 5, so that a login
// that waits maxWait for a slot is done within 3 s, and ten times as long at 10. All logins
// together use an eighth of two busy cores.
const niceness = 5

func newSubprocess(command []string, places int, log *slog.Logger) *subprocess {
	a := &subprocess{command: command, log: log, idle: make(chan *child, places)}
	for range places {
		a.idle <- nil
	}
	return a
}

func (a *subprocess) compare(hash, password []byte) error {
	said, err := a.ask(question{Hash: string(hash), Password: password})
	switch {
	case err != nil:
		return bcrypt.CompareHashAndPassword(hash, password)
	case said.Mismatch:
		return bcrypt.ErrMismatchedHashAndPassword
	case said.Error != "":
		return errors.New(said.Error)
	}
	return nil
}

func (a *subprocess) generate(password []byte, cost int) ([]byte, error) {
	said, err := a.ask(question{Password: password, Cost: cost})
	switch {
	case err != nil:
		return bcrypt.GenerateFromPassword(password, cost)
	case said.Error != "":
		return nil, errors.New(said.Error)
	}
	return []byte(said.Hash), nil
}

// ask sends a request to an idle child. A child that fails is ended, and another one is started
// for the next request; the caller handles the error.
func (a *subprocess) ask(q question) (said reply, err error) {
	c := <-a.idle
	defer func() { a.idle <- c }()
	if c == nil {
		if c, err = start(a.command); err != nil {
			a.log.Warn("hashing has to be done in the process itself", "error", err)
			return said, err
		}
	}
	if said, err = c.ask(q); err != nil {
		a.log.Warn("a hashing child failed", "error", err)
		c.end()
		c = nil
	}
	return said, err
}

// question is a line to a child and reply is a line from it. The pipes are private to both
// processes.
type question struct {
	Hash     string `json:"hash,omitempty"` // the hash to compare with; if empty, a new hash is made
	Password []byte `json:"password"`
	Cost     int    `json:"cost,omitempty"`
}

type reply struct {
	Hash     string `json:"hash,omitempty"`
	Mismatch bool   `json:"mismatch,omitempty"`
	Error    string `json:"error,omitempty"`
}

type child struct {
	in  io.WriteCloser
	out *json.Decoder
	end func()
}

func start(command []string) (*child, error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // it ends when its input does
	cmd.Env = []string{"GOMAXPROCS=1"}              // without the secrets of the environment
	apart(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	return &child{in: in, out: json.NewDecoder(out), end: sync.OnceFunc(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})}, nil
}

func (c *child) ask(q question) (said reply, err error) {
	if err := json.NewEncoder(c.in).Encode(q); err != nil { //nolint:gosec // a private pipe
		return said, err
	}
	return said, c.out.Decode(&said)
}

// Hash is the main function of a child: it answers the requests on in until that ends, which
// happens when the parent exits.
func Hash(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	yieldToOthers()
	questions, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		if err := answers.Encode(q.reply()); err != nil {
			if errors.Is(err, syscall.EPIPE) {
				return nil // the parent has exited
			}
			return err
		}
	}
}

func (q question) reply() (said reply) {
	var err error
	if q.Hash == "" {
		var hash []byte
		hash, err = bcrypt.GenerateFromPassword(q.Password, q.Cost)
		said.Hash = string(hash)
	} else {
		err = bcrypt.CompareHashAndPassword([]byte(q.Hash), q.Password)
	}
	if said.Mismatch = errors.Is(err, bcrypt.ErrMismatchedHashAndPassword); err != nil && !said.Mismatch {
		said.Error = err.Error()
	}
	return said
}
