defmodule Shop.CartTest do
  use ExUnit.Case
  test "adds", do: assert(Shop.Cart.add(nil, 1) == [1])
end
