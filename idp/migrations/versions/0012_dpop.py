"""codes and tokens that are bound to a key"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = ("grants", "access_tokens", "refresh_tokens")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("dpop_jkt", sa.String(length=43), nullable=True))


def downgrade() -> None:
    # Without the column a bound token would be anybody's who has read it.
    op.execute("DELETE FROM access_tokens WHERE dpop_jkt IS NOT NULL")
    op.execute("DELETE FROM refresh_tokens WHERE dpop_jkt IS NOT NULL")
    op.execute("UPDATE grants SET code_expires_at = created_at WHERE dpop_jkt IS NOT NULL")
    for table in TABLES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column("dpop_jkt")
