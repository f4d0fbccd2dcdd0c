// Command deploycheck validates docker-compose.yml, deploy/kubernetes and .env.example like Compose
// and Kubernetes, without needing either. It reports unknown fields, wrong types and settings that
// the program does not have. Its argument is the root of the repository.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	settings, err := settingsOf(root)
	if err == nil {
		err = errors.Join(checkExample(root, settings), checkCompose(root, settings), checkKubernetes(root, settings))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("docker-compose.yml, deploy/kubernetes and .env.example are in order.")
}
