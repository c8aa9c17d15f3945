//! A shop.
use std::fmt;
use crate::cart::{Cart, item::Item};
pub mod cart;
mod price;

pub trait Show {
    fn show(&self) -> String;
    fn twice(&self) -> String { format!("{0}{0} fn not_one() {{}}", self.show()) }
}

#[derive(Debug, Clone)]
pub struct Shop { cart: Cart }

impl Shop {
    pub fn new() -> Self { Shop { cart: Cart } }
    fn hidden(&self) {}
}

impl Show for Shop {
    fn show(&self) -> String { String::new() }
}

impl<T: fmt::Display> Show for Vec<T> {
    fn show(&self) -> String { String::new() }
}

pub async unsafe fn run<F>(f: F) where F: Fn() { f() }

macro_rules! shout { ($x:expr) => { fn inside() {} }; }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works() { Shop::new(); }
}
