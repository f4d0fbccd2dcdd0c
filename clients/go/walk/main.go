// Command walk places an order, follows it, and receives and verifies a webhook.
//
//	go run -C clients/go ./walk
//
// It needs a running server at ORDERFLOW_URL. ORDERFLOW is the program to run `orderflow listen` with;
// without it, it is built from this repository.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	orderflow "github.com/orderflow-dev/orderflow/clients/go"
	"github.com/orderflow-dev/orderflow/clients/go/api"
)

const (
	password = "a quiet blue morning" //nolint:gosec // of an account that this program creates
	sku      = "GRINDER-HAND-01"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	err := walk(ctx, cmp.Or(os.Getenv("ORDERFLOW_URL"), "http://localhost:3000"), cmp.Or(os.Getenv("PORT"), "4000"))
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

func walk(ctx context.Context, server, port string) error {
	fmt.Println("1. Register, log in, look around.")
	email := fmt.Sprintf("walk-%d@example.com", time.Now().UnixNano())
	client, err := register(ctx, server, email)
	if err != nil {
		return err
	}

	fmt.Printf("2. Listen for webhooks at port %s.\n", port)
	hooks, stop, err := listen(ctx, server, port, email)
	if err != nil {
		return err
	}
	defer stop()

	fmt.Println("3. Place an order.")
	placed, err := client.PlaceOrderWithResponse(ctx, nil, api.OrderRequest{Items: []api.OrderRequestItem{{SKU: sku, Quantity: 1}}})
	if err != nil {
		return err
	}
	order := placed.JSON201.ID.String()
	fmt.Println("  ", order)

	fmt.Println("4. Follow it until it is being fulfilled.")
	for event, err := range client.Follow(ctx, orderflow.FollowOptions{After: orderflow.Start, OrderID: order}) {
		if err != nil {
			return err
		}
		fmt.Println("  ", event.Type)
		if event.Type == orderflow.TypeOrderProcessing {
			break
		}
	}

	fmt.Println("5. Verify the webhook.")
	select {
	case event := <-hooks:
		if event.Subject != order {
			return errors.New("the message is about another order")
		}
		fmt.Println("  ", event.Type, "is signed by the server")
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// register creates an account and returns its client.
func register(ctx context.Context, server, email string) (*orderflow.Client, error) {
	client, err := orderflow.New(server, orderflow.Login(email, password))
	if err != nil {
		return nil, err
	}
	anybody, err := orderflow.New(server, orderflow.Anonymous())
	if err != nil {
		return nil, err
	}
	if _, err := anybody.RegisterWithResponse(ctx, api.RegistrationRequest{Email: email, Password: password}); err != nil {
		return nil, err
	}
	_, err = client.GetProductWithResponse(ctx, sku)
	return client, err
}

var secretForm = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]*`)

// listen has the events of the account sent to a handler that verifies them, and returns them, until
// stop is called.
func listen(ctx context.Context, server, port, email string) (hooks <-chan *orderflow.Event, stop func(), err error) {
	program, err := program(ctx)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, program, "listen", "--server="+server, "--email="+email, "--types=order.created", //nolint:gosec // G702: the user's own program
		"--forward=http://127.0.0.1:"+port+"/hooks")
	cmd.Env, cmd.Stderr = append(os.Environ(), "ORDERFLOW_PASSWORD="+password), os.Stderr
	printed, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	secret, lines := "", bufio.NewScanner(printed)
	for lines.Scan() && !strings.Contains(strings.ToLower(lines.Text()), "listening") {
		secret = cmp.Or(secretForm.FindString(lines.Text()), secret)
	}
	go func() { _, _ = io.Copy(io.Discard, printed) }()
	hooks, closeReceiver, err := receive(ctx, port, secret)
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if closeReceiver != nil {
			closeReceiver()
		}
	}
	if err != nil {
		stop()
	}
	return hooks, stop, err
}

// program returns the path of orderflow.
func program(ctx context.Context) (string, error) {
	if path := os.Getenv("ORDERFLOW"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "walk-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "orderflow")
	build := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-o", path, "./cmd/orderflow")
	build.Stderr = os.Stderr
	return path, build.Run()
}

func receive(ctx context.Context, port, secret string) (hooks chan *orderflow.Event, stop func(), err error) {
	verifier, err := orderflow.NewVerifier(secret)
	if err != nil {
		return nil, nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		return nil, nil, err
	}
	hooks = make(chan *orderflow.Event, 1)
	receiver := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: verifier.Handler(func(_ context.Context, e *orderflow.Event) error {
		select {
		case hooks <- e:
		default: // one is enough
		}
		return nil
	})}
	go func() { _ = receiver.Serve(listener) }()
	return hooks, func() { _ = receiver.Close() }, nil
}
