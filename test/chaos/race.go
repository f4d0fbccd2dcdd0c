//go:build race

package main

// withRace builds the product as this program is built.
const withRace = true
