// Package store keeps carts.
package store

import (
	"fmt"

	"github.com/gin-gonic/gin"
)

// Keeper keeps.
type Keeper interface {
	Keep(x int) error
	hidden()
}

type (
	Store[T any] struct{ items []T }
	id           = int
)

func New() *Store[int] { return &Store[int]{} }

func (s *Store[T]) Add(item T) {
	f := func() { fmt.Println("func notOne() {}") }
	f()
}

func (s Store[T]) size() int { return len(s.items) }

func Map[T, U any](in []T, f func(T) U) []U { return nil }

var _ = gin.New
