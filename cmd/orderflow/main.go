// Command orderflow runs the product: the API, the workers and the tools that
// operate them. A program that adds steps, modules or payment providers has a main
// function like this one and passes them to app.Main as options.
package main

import "github.com/orderflow-dev/orderflow/app"

func main() { app.Main() }
