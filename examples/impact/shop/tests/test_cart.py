from app.cart import total


def test_an_empty_cart_costs_nothing():
    assert total([]) == 0
