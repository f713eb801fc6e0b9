/* Stands for KubeVirt's container-disk in the image of a guest or disk, where it proves that the image can be started. */
int main(void)
{
    return 0;
}
