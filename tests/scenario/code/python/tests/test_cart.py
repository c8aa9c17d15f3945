from app.cart import Cart


def test_cart():
    assert Cart().size == 0
