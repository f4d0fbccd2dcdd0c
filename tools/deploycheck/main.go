// Command deploycheck validates docker-compose.yml, deploy/kubernetes and .env.example like Compose
// and Kubernetes, without needing either. It reports unknown fields, wrong types and settings that
// the program does not have, and images that neither have a digest nor come from a variable of
// deploy/images.lock. It warns of images in that file without a digest. Its argument is the root of the repository.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	settings, err := settingsOf(root)
	images, failed := readImages(root)
	if err = errors.Join(err, failed); err == nil {
		err = errors.Join(checkExample(root, settings), checkCompose(root, settings), checkKubernetes(root, settings),
			checkDockerfile(root, images), checkComposeImages(root, images), checkManifestImages(root))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if open := images.notPinned(); len(open) > 0 {
		fmt.Printf("WARNING: not pinned by digest yet (task images:pin): %s\n", strings.Join(open, ", "))
	}
	fmt.Println("docker-compose.yml, deploy/kubernetes and .env.example are in order.")
}
