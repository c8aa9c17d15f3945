module Shop
  class Price
    def self.sum(items) = items.size
  end
end
