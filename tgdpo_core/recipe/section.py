"""What all sections of a recipe have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from tgdpo_core.recipe.truth_values import is_truth_for_number


class Section(BaseModel):
    """Base of all sections: no unknown key, no NaN, values converted to the field's type."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if is_truth_for_number(value, cls.model_fields[str(info.field_name)].annotation):
            raise ValueError(f"expected a number, got {str(value).lower()}")
        return value
