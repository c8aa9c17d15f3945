package main

import "example.com/shop/store"

func main() { store.New() }
