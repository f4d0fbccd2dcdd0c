package ent

//go:generate go tool entgo.io/ent/cmd/ent generate --target . ./schema
