package shop;
class CartTest { @Test void works() {} }
