defmodule Shop.Cart do
  @moduledoc "A cart."
  use GenServer
  alias Shop.{Item, Price}

  @doc "Adds an item."
  @spec add(t, Item.t()) :: t
  def add(cart, item) when is_list(cart), do: [item | cart]
  def add(nil, item), do: [item]

  defp total(cart), do: Price.sum(cart)

  defmacro debug(x) do
    quote do: IO.inspect(unquote(x))
  end

  @impl true
  def init(state) do
    {:ok, state}
  end

  def a <~> b, do: {a, b}

  defmodule Empty do
    def new, do: []
  end

  defguard is_big(x) when x > 100
end

defprotocol Shop.Show do
  def show(x)
end

defimpl Shop.Show, for: List do
  def show(list), do: "#{length(list)} # def not_one, do: 1"
end
