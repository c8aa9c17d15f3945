package shop;

import java.util.List;
import shop.Price;
import static shop.Price.sum;

@Service
public class Cart<T> extends Base implements Show, Comparable<Cart<T>> {
    private final List<T> items;

    public Cart(List<T> items) { this.items = items; }

    @Override
    @Deprecated(since = "1")
    public int compareTo(Cart<T> other) { return 0; }

    private <U> U hidden(U u) {
        Runnable r = new Runnable() {
            public void run() { String s = "void notOne() {}"; }
        };
        return u;
    }

    enum Kind { A { int cost() { return 1; } }; abstract int cost(); }

    record Point(int x, int y) { Point { } }

    static class Inner { void deep() {} }
}

interface Show { String show(); default int two() { return 2; } }
