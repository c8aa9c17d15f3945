require "json"
require "shop/cart"
require_relative "shop/price"

module Shop
  def self.open(name) = Cart.new(name)
end
