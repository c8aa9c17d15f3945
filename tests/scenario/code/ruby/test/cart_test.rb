require "shop/cart"
class CartTest < Minitest::Test
  def test_cart; end
end
