//! Ids of endpoints and deliveries, as paths and logs name them.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($number:ty) = $prefix:literal, $fault:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub $number);

            impl std::fmt::Display for $name {
                fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(formatter, concat!($prefix, "{}"), self.0)
                }
            }

            impl std::str::FromStr for $name {
                type Err = &'static str;

                fn from_str(text: &str) -> Result<Self, Self::Err> {
                    let number = text.strip_prefix($prefix).and_then(|number| number.parse().ok());
                    let id = number.map(Self).filter(|id| id.to_string() == text);
                    id.ok_or($fault)
                }
            }
        )+
    };
}

ids! {
    /// The id of an endpoint.
    EndpointId(i32) = "whe_", "is no endpoint's id, such as whe_12";
    /// The id of a delivery.
    DeliveryId(i64) = "whd_", "is no delivery's id, such as whd_345";
}

#[cfg(test)]
mod tests {
    use super::{DeliveryId, EndpointId};

    #[test]
    fn an_id_is_read_back_from_its_one_spelling_only() {
        assert_eq!("whe_12".parse(), Ok(EndpointId(12)));
        assert_eq!("whd_345".parse(), Ok(DeliveryId(345)));
        for wrong in ["", "whe_", "whe_012", "whe_+1", "12", "whd_12", "whe_99999999999"] {
            assert!(wrong.parse::<EndpointId>().is_err(), "{wrong}");
        }
    }
}
